"""Score programs against the shared test pairs.

Shape letters: N pairs, C counts of a metric.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from en2py.console import counted, progress_bar
from en2py.data.augmentation import original_id
from en2py.data.cache import cached
from en2py.data.files import digest, file_digest, write_atomically
from en2py.data.pairs import Pair, evenly_spaced
from en2py.data.parallel import ProcessPool
from en2py.data.prepare import Prepared
from en2py.evaluation.aggregation import values_of
from en2py.evaluation.execution.result import ExecutionResult
from en2py.evaluation.execution.runner import ProgramRunner, counts_of
from en2py.evaluation.metrics import program_metrics
from en2py.evaluation.metrics.bleu import Counts, TrainingCode
from en2py.evaluation.metrics.program_metrics import PairScores, Scores
from en2py.evaluation.metrics.seen_descriptions import known_codes
from en2py.evaluation.report.markdown import samples_page
from en2py.evaluation.results import MODEL, AttentionSample

Tables = dict[str, list[Counts]]  # metric to counts per pair, [N, C]

_LIBRARIES = ("sacrebleu",)  # a new version makes new scores
_OF_CODE_BLEU = ("tree-sitter", "tree-sitter-python")


@dataclass(frozen=True)
class TrainingData:
    """The training pairs that programs may be copied from.

    What metrics compare with is of all training pairs, so that runs on fewer of them, or on
    augmented variants, are scored alike.

    Attributes:
        pairs: The training pairs without augmented variants.
        code: The training programs, augmented variants included, and the n-grams to ignore.
        known: All training pairs of the data: the known programs of a description.
    """

    pairs: list[Pair]
    code: TrainingCode
    known: list[Pair]

    @cached_property
    def digest(self) -> str:
        """Return a digest of the pairs and of the programs."""
        lists = [self.pairs] if self.known == self.pairs else [self.pairs, self.known]
        pairs = [[[p.id, p.family, p.description, p.code] for p in part] for part in lists]
        return digest([*pairs, self.code.digest])

    @classmethod
    def of(cls, prepared: Prepared, max_pairs: int | None) -> "TrainingData":
        """Return the training data of prepared data, of which a run reads `batch.max_pairs`."""
        everything = prepared.pairs("train")
        known, pairs = originals(everything), everything[:max_pairs]
        shared = TrainingCode([pair.code for pair in known])
        codes = [pair.code for pair in pairs]
        code = shared if codes == shared.codes else TrainingCode(codes, frequent=shared)
        return cls(originals(pairs), code, known)


def originals(pairs: Sequence[Pair]) -> list[Pair]:
    """Return training pairs without the augmented variants of others."""
    ids = {pair.id for pair in pairs}
    return [
        pair
        for pair in pairs
        if (original := original_id(pair.id)) == pair.id or original not in ids
    ]


@dataclass(frozen=True)
class EvaluationRow:
    """The programs and scores of one checkpoint or baseline.

    Attributes:
        name: Name of the run or the baseline.
        kind: `model` or `baseline`.
        pairs: The evaluated pairs.
        candidates: Programs per pair, best first; empty where the source is too long for the model
            or the baseline has no program.
        scores: Scores of the program texts.
        executions: Result of running the best program per pair; None where the pair has neither
            tests nor an oracle, or the sandbox is not available.
        tables: Counts per pair of all metrics.
        values: Metric to value over all pairs.
        seed: None for baselines.
        settings: All settings of the run without its seed, see `run_name.settings`.
        validation: Counts per validation pair: the token metrics of models, what selects baselines.
        sampled: Counts per pair of pass@k.
        drawn: The programs behind pass@k, per pair, see `distinct_samples`.
        tokenizer: Digest of the target tokenizer.
        vocab: The target vocabulary.
        attention: Attention maps of a few samples.
        notes: Remarks for the reader of the results.
        machine: Devices and precision of the training; empty if unknown.
    """

    name: str
    kind: str
    pairs: list[Pair]
    candidates: list[list[str]]
    scores: Scores
    executions: list[ExecutionResult | None]
    tables: Tables
    values: dict[str, Any]
    seed: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    validation: Tables = field(default_factory=dict)
    sampled: Tables = field(default_factory=dict)
    drawn: Sequence[Sequence[Mapping[str, Any]]] = ()
    tokenizer: str = ""
    vocab: Sequence[str] = ()
    attention: Sequence[AttentionSample] = ()
    notes: Sequence[str] = ()
    machine: str = ""

    @property
    def programs(self) -> list[str]:
        """Return the best program per pair; empty text where there is none."""
        return [ranked[0] if ranked else "" for ranked in self.candidates]

    @property
    def is_scored(self) -> list[bool]:
        """Return which pairs are scored: of a baseline those that it has a program for."""
        return [self.kind == MODEL or bool(ranked) for ranked in self.candidates]

    def verdicts(self) -> list[str]:
        """Return the verdict on each best program, with the result of running it."""
        return [
            f"{row.verdict}, {result.words}" if result and row.verdict != "exact" else row.verdict
            for row, result in zip(self.scores.rows, self.executions, strict=True)
        ]

    def samples(self, n: int) -> list[tuple[str, str, str, str]]:
        """Return (description, reference, program, verdict) of `n` evenly spaced pairs."""
        programs, verdicts = self.programs, self.verdicts()
        return [
            (self.pairs[i].description, self.pairs[i].code, programs[i], verdicts[i])
            for i in evenly_spaced(len(self.pairs), n)
        ]


def score_programs(
    name: str,
    candidates: list[list[str]],
    runner: ProgramRunner,
    training: TrainingData,
    pool: ProcessPool,
    *,
    kind: str = MODEL,
    token_values: Mapping[str, float] | None = None,
    token_tables: Tables | None = None,
    with_code_bleu: bool = False,
) -> EvaluationRow:
    """Score programs, best first, of the pairs of a runner, or load their scores from its cache.

    Programs may be copies of the training data, which also have all known programs of a
    description. Token metrics, as values and as counts per pair, are of models alone.
    """
    pairs = runner.pairs
    programs = [ranked[0] if ranked else "" for ranked in candidates]
    references = [pair.code for pair in pairs]
    libraries = (*_LIBRARIES, *(_OF_CODE_BLEU if with_code_bleu else ()))
    key = {
        "pairs": [[pair.description, pair.code] for pair in pairs],
        "programs": programs,
        "training": training.digest,
        "code_bleu": with_code_bleu,
        "metrics": file_digest(Path(program_metrics.__file__).parent),
        "libraries": {name: metadata.version(name) for name in libraries},
    }

    def compute() -> dict[str, Any]:
        with progress_bar(f"comparing {counted(len(programs), 'program')} with the references"):
            known = known_codes(training.known, pairs)
            return asdict(
                program_metrics.score(
                    programs,
                    references,
                    known=known,
                    training=training.code,
                    with_code_bleu=with_code_bleu,
                    pool=pool,
                )
            )

    record = cached(runner.folder, "scores", key, compute)
    rows = [PairScores(**row) for row in record["rows"]]
    scores = Scores(record["values"], rows, record["counts"], record["signatures"])
    ran = runner.run(programs)
    executed = counts_of(ran)
    tables = {**(token_tables or {}), **scores.counts, **executed}
    values = {"n": len(pairs), **(token_values or {}), **scores.values, **table_values(executed)}
    return EvaluationRow(name, kind, pairs, candidates, scores, ran, tables, values)


def write_samples(path: Path, row: EvaluationRow) -> None:
    """Write a Markdown page of samples."""
    page = samples_page(row.pairs, row.programs, row.verdicts(), row.values)
    write_atomically(path, page.encode("utf-8", "backslashreplace"))


def write_predictions(path: Path, row: EvaluationRow) -> None:
    """Write a JSON line per scored pair: its id, its description, the verdict and the programs."""
    verdicts, is_scored, lines = row.verdicts(), row.is_scored, []
    for i, pair in enumerate(row.pairs):
        if is_scored[i]:
            record = {"id": pair.id, "description": pair.description, "verdict": verdicts[i]}
            samples = {"samples": row.drawn[i]} if row.drawn else {}
            lines.append(json.dumps({**record, "candidates": row.candidates[i], **samples}))
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def distinct_samples(
    programs: Sequence[str], ran: Sequence[ExecutionResult | None]
) -> list[dict[str, Any]]:
    """Return the distinct programs of a pair, how often each was drawn, and whether it is right.

    None: the pair has neither tests nor an oracle.
    """
    results, n_drawn = dict(zip(programs, ran, strict=True)), Counter(programs)
    return [
        {"code": text, "n": n_drawn[text], "right": None if result is None else result.right}
        for text, result in results.items()
    ]


def table_values(tables: Tables) -> dict[str, float]:
    """Return the values of the metrics that apply to any pair."""
    values = {
        name: values_of(name, np.array([[*map(math.fsum, zip(*rows, strict=True))]])).item()
        for name, rows in tables.items()
        if rows
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}
