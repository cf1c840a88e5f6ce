"""From what each entrant did on the same pairs to `Results`: what can be compared, rows, samples.

Shape letters: N pairs, C counts of a metric.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from en2py.data.duplicates import fingerprint, group_near_duplicates
from en2py.data.files import write_atomically
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.evaluation.aggregation import (
    BASELINE,
    MODEL,
    Metrics,
    RunMetrics,
    configurations,
    make_rows,
)
from en2py.evaluation.execution.runner import (
    TESTS,
    ExecutionResult,
    ProgramRunner,
    counts_of,
    failures,
)
from en2py.evaluation.metrics.bleu import Counts, TrainingCode
from en2py.evaluation.metrics.program_metrics import Scores, metric_value, score
from en2py.evaluation.metrics.registry import metric
from en2py.evaluation.metrics.seen_descriptions import known_codes
from en2py.evaluation.report.markdown import samples_page
from en2py.evaluation.report.samples import evenly_spaced
from en2py.evaluation.results import AttentionSample, ResultRow, Sample, SampleOutput

Tables = dict[str, list[Counts]]  # metric to counts, a row a pair


@dataclass(frozen=True)
class Training:
    """What scores know of the training split.

    Attributes:
        pairs: Its pairs, variants by augmentation left out.
        code: Its programs, variants included.
    """

    pairs: list[Pair]
    code: TrainingCode

    @classmethod
    def of(cls, prepared: Prepared) -> "Training":
        """Take it from prepared data."""
        pairs = prepared.pairs("train")
        ids = {pair.id for pair in pairs}
        originals = [pair for pair in pairs if pair.id.rpartition("/")[0] not in ids]
        return cls(originals, TrainingCode([pair.code for pair in pairs]))


@dataclass(frozen=True)
class SplitScores:
    """What a module, or a baseline, did on a split.

    Attributes:
        pairs: All pairs of the split.
        candidates: Generated programs per pair, best first; empty where the model cannot read it.
        scores: Metrics of the texts, per pair and in all.
        ran: How each best program did when it was run; None where there is nothing to run it
            against, or no sandbox to run it in.
        tables: Counts per pair of all metrics, those of tokens and of running too.
        values: All figures by name.
    """

    pairs: list[Pair]
    candidates: list[list[str]]
    scores: Scores
    ran: list[ExecutionResult | None]
    tables: Tables
    values: dict[str, Any]

    @property
    def predictions(self) -> list[str]:
        """Return the best program per pair; empty text where there is none."""
        return [found[0] if found else "" for found in self.candidates]

    def samples(self, n: int) -> list[tuple[str, str, str, str]]:
        """Return (description, reference, output, verdict) of `n` pairs, spread over the split."""
        step = max(1, len(self.pairs) // n)
        chosen = list(zip(self.pairs, self.predictions, self.verdicts(), strict=True))[::step][:n]
        return [(p.description, p.code, output, verdict) for p, output, verdict in chosen]

    def verdicts(self) -> list[str]:
        """Return what is to be said of each best program, in words."""
        return [
            f"{row.verdict}, {own.words}" if own and row.verdict != "exact" else row.verdict
            for row, own in zip(self.scores.rows, self.ran, strict=True)
        ]


def judged(candidates: list[list[str]], judge: ProgramRunner, training: Training) -> SplitScores:
    """Score programs alone, whoever wrote them.

    Args:
        candidates: Programs per pair of the judge, best first.
        judge: Runs them.
        training: For what was copied, and for all known codes of a description.
    """
    pairs = judge.pairs
    predictions = [found[0] if found else "" for found in candidates]
    scores = score(
        predictions,
        [pair.code for pair in pairs],
        known=known_codes(training.pairs, pairs),
        training_codes=training.code,
    )
    ran = judge.run(predictions)
    tables: Tables = {**scores.counts, **counts_of(ran)}
    shares = {
        name: sum(row[0] for row in table) / sum(row[1] for row in table)
        for name, table in tables.items()
        if name not in scores.counts
    }
    return SplitScores(pairs, candidates, scores, ran, tables, {**scores.values, **shares})


def write_scores(folder: Path, scored: SplitScores) -> None:
    """Write `samples.md` and `predictions.jsonl`."""
    page = samples_page(scored.pairs, scored.predictions, scored.scores)
    write_atomically(folder / "samples.md", page.encode("utf-8", "backslashreplace"))
    write_predictions(folder / "predictions.jsonl", scored)


def write_predictions(path: Path, scored: SplitScores) -> None:
    """Write a line a pair: its id, its description, the verdict and the programs."""
    lines = [
        json.dumps({"id": p.id, "description": p.description, "verdict": verdict, "candidates": c})
        for p, c, verdict in zip(scored.pairs, scored.candidates, scored.verdicts(), strict=True)
    ]
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


N_SAMPLES = 24
_MAX_WEIGHTS = 400_000  # numbers of attention in a report, a few megabytes


@dataclass(frozen=True)
class Entry:
    """One run, or one baseline, on the pairs of the comparison.

    Attributes:
        name: Of the run or the baseline.
        kind: `model` or `baseline`.
        seed: None for baselines.
        settings: All that it chose, see `run_name.settings`.
        scored: What it did on the pairs.
        validation: Counts per validation pair of its token metrics.
        sampled: Counts per pair of pass@k.
        values: Metrics without counts per pair.
        tokenizer: Says how it cuts programs into tokens; equal texts are equal cuts.
        vocab: Its target vocabulary.
        attention: Of a few samples: id, labels, weights.
        notes: What a reader has to know.
    """

    name: str
    kind: str
    seed: int | None
    settings: Mapping[str, str]
    scored: SplitScores
    validation: Tables = field(default_factory=dict)
    sampled: Tables = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    tokenizer: str = ""
    vocab: Sequence[str] = ()
    attention: Sequence[AttentionSample] = ()
    notes: Sequence[str] = ()

    @property
    def asked(self) -> list[bool]:
        """Tell which pairs it was asked: a second human answers only where there is one."""
        return [self.kind == MODEL or bool(found) for found in self.scored.candidates]


def metric_of(name: str, counts: Sequence[float]) -> float:
    """Return a metric's value from summed counts; NaN where nothing was asked."""
    if len(counts) > 2:
        return metric_value(name, counts) if any(counts) else math.nan
    if not counts[1]:
        return math.nan
    mean = float(counts[0] / counts[1])
    return math.exp(min(mean, 700.0)) if name == "ppl" else mean


def clusters_of(pairs: Sequence[Pair]) -> list[int]:
    """Return the cluster of each pair: twins are right or wrong together."""
    return group_near_duplicates([fingerprint(pair) for pair in pairs])


def rows_of(
    entries: Sequence[Entry], pairs: Sequence[Pair], buckets: Mapping[str, Sequence[int]]
) -> tuple[list[RunMetrics], list[ResultRow]]:
    """Return the figures of each entry, and the rows of the table.

    Args:
        entries: All that takes part; the configuration of the first model is the reference.
        pairs: The pairs that all of them were scored on.
        buckets: Name to the places of its pairs.
    """
    shared = _readable(entry.scored.tables for entry in entries if entry.kind == MODEL)
    shared_validation = _readable(entry.validation for entry in entries if entry.kind == MODEL)
    reference = next((entry for entry in entries if entry.kind == MODEL), None)
    runs = []
    for entry in entries:
        tables = {**entry.scored.tables, **entry.sampled}
        if not all(entry.asked):  # a second human's code is itself one of the known ones
            tables = {name: rows for name, rows in tables.items() if not name.endswith("_any")}
        tables = {name: _only(rows, entry.asked) for name, rows in tables.items()}
        tables |= {name: _only(tables[name], shared) for name in tables if metric(name).from_logits}
        validation = {n: _only(rows, shared_validation) for n, rows in entry.validation.items()}
        not_comparable, why = _not_comparable(entry, reference)
        runs.append(
            RunMetrics(
                name=entry.name,
                kind=entry.kind,
                seed=entry.seed,
                settings=entry.settings,
                values={**_values(tables), **entry.values},
                counts=tables,
                validation=_values(validation),
                failures=failures(entry.scored.scores, entry.scored.ran, entry.asked),
                groups=_groups(tables, buckets),
                notes=[*entry.notes, *why, *_left_out(entry, shared)],
                not_comparable=not_comparable,
            )
        )
    shares = {name for run in runs for name in run.counts if metric(name).is_share}
    metrics = Metrics(value=metric_of, shares=shares, clusters=clusters_of(pairs))
    return runs, make_rows(
        runs, metrics, rank_by="bpc" if any(r.not_comparable for r in runs) else "nll"
    )


def _readable(tables: Any) -> list[bool]:
    """Tell which pairs every model has positions for; token metrics are of these alone."""
    columns = [[bool(row[1]) for row in own["nll"]] for own in tables if "nll" in own]
    return [all(own) for own in zip(*columns, strict=True)]


def _only(rows: Sequence[Counts], kept: Sequence[bool]) -> list[Counts]:
    return [row if keep else [0.0] * len(row) for row, keep in zip(rows, kept, strict=True)]


def _values(tables: Tables) -> dict[str, float]:
    """Return the values of all metrics that any pair was asked."""
    values = {
        name: metric_of(name, [math.fsum(column) for column in zip(*rows, strict=True)])
        for name, rows in tables.items()
        if rows
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _groups(tables: Tables, buckets: Mapping[str, Sequence[int]]) -> dict[str, dict[str, float]]:
    """Return the values of each bucket that holds pairs, where there is more than one."""
    filled = {name: places for name, places in buckets.items() if places}
    if len(filled) < 2:
        return {}
    return {
        name: {
            "n": float(len(places)),
            **_values({key: [rows[i] for i in places] for key, rows in tables.items()}),
        }
        for name, places in filled.items()
    }


def _not_comparable(entry: Entry, reference: Entry | None) -> tuple[list[str], list[str]]:
    """Return the metrics that cannot be compared with the reference's, and the reason.

    A loss per token depends on what a token is; and where the vocabularies differ, the one that
    says `<unk>` more often has the easier task. Bits per character are charged for the spelling.
    """
    if reference is None or entry.kind == BASELINE or entry is reference:
        return [], []
    names = [name for name in entry.scored.tables if metric(name).per_token]
    told = "so its loss, perplexity and accuracy per token cannot be compared; bits per character"
    if entry.tokenizer != reference.tokenizer:
        return names, [f"cuts programs into other tokens than the first row, {told} can"]
    unknown = [
        any(row[0] for row in one.scored.tables["unk_targets"]) for one in (entry, reference)
    ]
    if any(unknown) and list(entry.vocab) != list(reference.vocab):
        return names, [f"has another vocabulary, and not every token is in both, {told} can"]
    return [], []


def _left_out(entry: Entry, shared: Sequence[bool]) -> list[str]:
    """Tell how many pairs the token metrics leave out."""
    n_left = len(shared) - sum(shared)
    if entry.kind == BASELINE or not n_left:
        return []
    return [
        f"loss, perplexity, accuracy and bits per character leave out {n_left} of {len(shared)} "
        "pairs, which are longer than some model can read or write"
    ]


def samples_of(
    entries: Sequence[Entry], rows: Sequence[ResultRow], runs: Sequence[RunMetrics]
) -> list[Sample]:
    """Return pairs spread evenly, with what the first seed of each row wrote."""
    by_row = _first_entries(entries, rows, runs)
    pairs = entries[0].scored.pairs
    return [
        Sample(
            pairs[i].id,
            pairs[i].description,
            pairs[i].code,
            {name: _output(entry.scored, i) for name, entry in by_row.items() if entry.asked[i]},
        )
        for i in evenly_spaced(len(pairs), N_SAMPLES)
    ]


def attention_of(
    entries: Sequence[Entry], rows: Sequence[ResultRow], runs: Sequence[RunMetrics]
) -> list[AttentionSample]:
    """Return the attention of the first seed of each row, as much as a page can bear."""
    by_row = _first_entries(entries, rows, runs)
    queues = [
        [AttentionSample(name, own.sample, own.labels, own.weights) for own in entry.attention]
        for name, entry in by_row.items()
    ]
    found: list[AttentionSample] = []
    n_weights = 0
    for rank in range(max(map(len, queues), default=0)):
        for own in (queue[rank] for queue in queues if rank < len(queue)):
            n_weights += sum(_size(weights) for weights in own.weights.values())
            if n_weights > _MAX_WEIGHTS and found:
                return found
            found.append(own)
    return found


def _size(weights: Any) -> int:
    return sum(map(_size, weights)) if isinstance(weights, list) else 1


def _first_entries(
    entries: Sequence[Entry], rows: Sequence[ResultRow], runs: Sequence[RunMetrics]
) -> dict[str, Entry]:
    """Return the first seed's entry of each row, in the order of the rows."""
    by_run = dict(zip(map(id, runs), entries, strict=True))
    firsts = {
        (tuple(run.name for run in own if run.kind == MODEL) or own[0].name): own[0]
        for own in configurations(runs)
    }
    return {row.name: by_run[id(firsts[tuple(row.runs) or row.name])] for row in rows}


def _output(scored: SplitScores, place: int) -> SampleOutput:
    row, own = scored.scores.rows[place], scored.ran[place]
    return SampleOutput(scored.predictions[place], *_verdict(row.verdict, row.answers, own))


def _verdict(
    words: str, answers: Mapping[str, Any], ran: ExecutionResult | None
) -> tuple[str, str]:
    """Return the verdict and its reason."""
    if words == "exact":
        return "exact", ""
    if not answers["compiles"]:
        return "does not compile", words.removeprefix("does not compile (").removesuffix(")")
    if ran is None:
        return "compiles", "" if words == "compiles" else words
    if ran.right:
        return "passes" if ran.against == TESTS else "behaves", ""
    return "wrong", ran.detail or ran.problem
