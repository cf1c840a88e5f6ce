"""Measure tokens per second and the share of validation."""

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

# What `Throughput` logs; two runs that are the same differ in these columns alone.
TIMES = ("tokens_per_second", "validation_share")


class Throughput(Callback):
    """Measures real target tokens per second and the time left; tells it each epoch if asked.

    Validation, samples included, has its own clock: `validation_share` is its time over training's.
    The checkpoints that are written around it and at an epoch's end are in neither.

    Args:
        tell: Called with a line an epoch, for terminals that cannot show a progress bar.
    """

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self.tell = tell
        self._ended = self._validating = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clocks; a run resumed inside an epoch sees no start of that epoch."""
        self._started, self._first_epoch = time.perf_counter(), trainer.current_epoch
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of an epoch."""
        self._tokens, self._seconds, self._validating = 0, 0.0, 0.0
        self._ended = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count a batch, its making included."""
        now = time.perf_counter()
        self._seconds, self._ended = self._seconds + now - self._ended, now
        self._tokens += batch.n_tokens
        if batch_idx % 10 == 0:
            trainer.progress_bar_metrics["tok/s"] = round(self._tokens / max(self._seconds, 1e-9))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock of training."""
        self._left = time.perf_counter()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of validation."""
        self._began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop it, and let training's go on."""
        now = time.perf_counter()
        self._validating += now - self._began
        self._ended += now - self._left

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's throughput, and print its line."""
        done = trainer.current_epoch + 1
        metrics = trainer.callback_metrics
        pl_module.log("tokens_per_second", self._tokens / max(self._seconds, 1e-9))
        pl_module.log("validation_share", self._validating / max(self._seconds, 1e-9))
        if self.tell is None or not trainer.is_global_zero:
            return
        each = (time.perf_counter() - self._started) / (done - self._first_epoch)
        words = [
            f"epoch {done}/{trainer.max_epochs}",
            *(
                f"{name} {float(metrics[name]):.3f}"
                for name in ("val/nll", "train/nll", "val/exact_match_renamed")
                if name in metrics
            ),
            f"{self._tokens / max(self._seconds, 1e-9):,.0f} tokens/s",
            f"{each * ((trainer.max_epochs or done) - done):.0f} s left",
        ]
        self.tell("  ".join(words))
