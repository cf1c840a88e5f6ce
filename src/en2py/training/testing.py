"""One module on one split: token metrics, generated programs, and how they are judged.

`train.py` ends with `score_split`, and `evaluate.py` calls it for each checkpoint, so both report
the same figures.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from en2py.data.cache import write_atomically
from en2py.data.datamodule import PairDataModule
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.evaluation.execution.runner import Judge, Ran, counts_of
from en2py.evaluation.metrics.bleu import Counts, TrainingCode
from en2py.evaluation.metrics.program_metrics import Scores, score
from en2py.evaluation.metrics.seen_descriptions import known_codes
from en2py.evaluation.metrics.token_metrics import token_counts
from en2py.evaluation.plots import plot_attention
from en2py.evaluation.samples import samples_page
from en2py.training.distributed import gathered
from en2py.training.module import Seq2SeqModule

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
    ran: list[Ran | None]
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


def score_split(
    module: Seq2SeqModule,
    datamodule: PairDataModule,
    trainer: pl.Trainer,
    split: str,
    judge: Judge,
    training: Training,
    candidates: list[list[str]] | None = None,
) -> SplitScores:
    """Score a module on a split of its data.

    Args:
        module: With the weights to score.
        datamodule: With the data.
        trainer: Knows device and precision.
        split: `train`, `val` or `test`.
        judge: Runs programs; of the same pairs.
        training: What the module was trained on.
        candidates: Its programs, where they are known already.
    """
    logged, tables = token_tables(module, datamodule, trainer, split)
    if candidates is None:
        candidates = generated(module, datamodule, trainer, split)
    scored = judged(candidates, judge, training)
    values = {"n": len(scored.pairs), **logged, **scored.values}
    return SplitScores(
        scored.pairs, candidates, scored.scores, scored.ran, tables | scored.tables, values
    )


def judged(candidates: list[list[str]], judge: Judge, training: Training) -> SplitScores:
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


def token_tables(
    module: Seq2SeqModule, datamodule: PairDataModule, trainer: pl.Trainer, split: str
) -> tuple[dict[str, float], Tables]:
    """Return the token metrics of a split: their values, and their counts per pair."""
    datamodule.eval_split = split
    (logged,) = trainer.test(module, datamodule, verbose=False)
    values = {name.removeprefix("test/"): float(value) for name, value in logged.items()}
    tested = dict(gathered(list(module.tested.items())))
    known = {example.index: example for example in datamodule.examples[split]}
    rows = []
    for place in range(len(datamodule.prepared.splits[split])):
        own = known.get(place)
        table = tested.get(place) if own else None
        rows.append(
            token_counts(table, own.n_characters if own else 0, own.spelling_bits if own else 0)
        )
    return values, {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}


def generated(
    module: Seq2SeqModule, datamodule: PairDataModule, trainer: pl.Trainer, split: str
) -> list[list[str]]:
    """Return the programs that a module writes for a split, best first."""
    datamodule.eval_split = split
    batches: Any = gathered(trainer.predict(module, datamodule) or [])
    candidates: list[list[str]] = [[] for _ in datamodule.prepared.splits[split]]
    for batch in batches:
        for index, texts in batch:
            candidates[index] = texts
    return candidates


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


def draw_attention(
    module: Seq2SeqModule, scored: SplitScores, folder: Path, kinds: Sequence[str], n_maps: int
) -> list[Path]:
    """Draw attention maps of a few samples, a picture per kind and layer.

    Args:
        module: The model.
        scored: Its outputs on a split.
        folder: Pictures go to `attention/` in it.
        kinds: Of `cross`, `encoder`, `decoder`.
        n_maps: Number of samples.
    """
    files: list[Path] = []
    for place in written_places(scored, n_maps):
        labels, maps = module.attention(scored.pairs[place].description, scored.predictions[place])
        for kind in kinds:
            rows, columns = labels[kind]
            target = folder / "attention" / f"sample{place:05d}"
            files += plot_attention(kind, maps[kind], rows, columns, target)
    return files


def written_places(scored: SplitScores, n: int) -> list[int]:
    """Return up to `n` places, evenly apart, for which something was written."""
    places = [i for i, text in enumerate(scored.predictions) if text]
    return places[:: max(1, len(places) // max(n, 1))][:n]
