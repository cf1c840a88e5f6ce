"""Test a module on a split: token metrics and generated programs, for `scores.score_programs`.

`train.py` and `evaluate.py` both test with these functions, so they report the same values.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from en2py.console import Progress, progress_bar
from en2py.data.datamodule import PairDataModule
from en2py.decoding.hypothesis import hypotheses_per_source
from en2py.evaluation.metrics.token_metrics import token_counts
from en2py.evaluation.scores import EvaluationRow, Tables
from en2py.training.distributed import all_gather
from en2py.training.module import Search, Seq2SeqModule

_PAIRS = {"train": "training pairs", "val": "validation pairs", "test": "test pairs"}


def token_tables(
    module: Seq2SeqModule, datamodule: PairDataModule, trainer: pl.Trainer, split: str
) -> tuple[dict[str, float], Tables]:
    """Return the token metrics of a split: their values, and their counts per pair."""
    with _test_progress(trainer, f"scoring {_PAIRS[split]}") as progress:
        (logged,) = trainer.test(module, datamodule.for_evaluation(split), verbose=False)
    values = {name.removeprefix("test/"): float(value) for name, value in logged.items()}
    per_example = dict(all_gather(list(progress.per_example.items())))
    # Pairs that are longer than the model reads or writes have no counts.
    rows = [token_counts(None, 0, 0)] * len(datamodule.prepared.splits[split])
    for example in datamodule.examples[split]:
        table = per_example.get(example.index)
        rows[example.index] = token_counts(table, example.n_characters, example.spelling_bits)
    return values, {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}


class _TestProgress(Callback):
    """Show the progress of a test or of a generation, and collect what a test returns.

    Attributes:
        per_example: The counts per example that `Seq2SeqModule.test_step` returns.
    """

    def __init__(self, bar: Progress) -> None:
        self.bar, self.n_done = bar, 0
        self.per_example: dict[int, list[list[float]]] = {}

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.per_example |= zip(outputs["places"], outputs["counts"], strict=True)
        self._show(trainer.num_test_batches)

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        self._show(trainer.num_predict_batches)

    def _show(self, n_batches: Sequence[int | float]) -> None:
        self.n_done += 1
        self.bar.update(self.n_done, sum(n_batches))


@contextmanager
def _test_progress(trainer: pl.Trainer, title: str) -> Iterator[_TestProgress]:
    with progress_bar(title) as bar:
        callback = _TestProgress(bar)
        trainer.callbacks.append(callback)  # type: ignore[attr-defined]
        try:
            yield callback
        finally:
            trainer.callbacks.remove(callback)  # type: ignore[attr-defined]


def generate_programs(
    module: Seq2SeqModule,
    datamodule: PairDataModule,
    trainer: pl.Trainer,
    split: str,
    search: Search | None = None,
) -> list[list[str]]:
    """Return the candidate programs per pair of a split, best first.

    The trainer sets device and precision; `search` decodes in place of the module's own.
    """
    title = f"generating programs for {_PAIRS[split]}"
    with module.searching_with(search or module.search), _test_progress(trainer, title):
        data = datamodule.for_evaluation(split, hypotheses_per_source(module.search))
        batches: Any = trainer.predict(module, data) or []
    candidates: list[list[str]] = [[] for _ in datamodule.prepared.splits[split]]
    for batch in all_gather(batches):
        for index, texts in batch:
            candidates[index] = texts
    return candidates


def draw_attention(
    module: Seq2SeqModule, row: EvaluationRow, folder: Path, kinds: Sequence[str], n_maps: int
) -> list[Path]:
    """Write attention maps of a few programs to `attention/`, a picture per kind and layer.

    The kinds are some of `cross`, `encoder`, `decoder`. Maps that were drawn before, of other
    samples or more of them, are removed.
    """
    from en2py.evaluation.plots.attention import plot_attention  # imports matplotlib

    for old in folder.glob("attention/sample*"):
        shutil.rmtree(old)
    places = [place for place, program in enumerate(row.programs) if program]
    files: list[Path] = []
    for place in places[:: max(1, len(places) // max(n_maps, 1))][:n_maps]:
        labels, maps = module.attention(row.pairs[place].description, row.programs[place])
        target = folder / "attention" / f"sample{place:05d}"
        for kind in kinds:
            files += plot_attention(kind, maps[kind], *labels[kind], target)
    return files


def predictions_key(sha256: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what programs depend on besides the descriptions."""
    return {"checkpoint": sha256, "decoding": config["decoding"]}
