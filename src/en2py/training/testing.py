"""One module on one split: token metrics, generated programs, and how they are judged.

`train.py` ends with `score_split`, and `evaluate.py` calls it for each checkpoint, so both report
the same figures.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from en2py.data.datamodule import PairDataModule
from en2py.evaluation.execution.runner import ProgramRunner
from en2py.evaluation.metrics.token_metrics import token_counts
from en2py.evaluation.scores import SplitScores, Tables, Training, judged
from en2py.training.distributed import all_gather
from en2py.training.module import Seq2SeqModule


def score_split(
    module: Seq2SeqModule,
    datamodule: PairDataModule,
    trainer: pl.Trainer,
    split: str,
    judge: ProgramRunner,
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


def token_tables(
    module: Seq2SeqModule, datamodule: PairDataModule, trainer: pl.Trainer, split: str
) -> tuple[dict[str, float], Tables]:
    """Return the token metrics of a split: their values, and their counts per pair."""
    datamodule.eval_split = split
    (logged,) = trainer.test(module, datamodule, verbose=False)
    values = {name.removeprefix("test/"): float(value) for name, value in logged.items()}
    tested = dict(all_gather(list(module.tested.items())))
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
    batches: Any = all_gather(trainer.predict(module, datamodule) or [])
    candidates: list[list[str]] = [[] for _ in datamodule.prepared.splits[split]]
    for batch in batches:
        for index, texts in batch:
            candidates[index] = texts
    return candidates


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
    from en2py.evaluation.plots.attention import plot_attention  # imports matplotlib

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


def predictions_key(sha256: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what programs depend on besides the descriptions."""
    return {"checkpoint": sha256, "decoding": config["decoding"]}
