"""Measure tokens per second and the share of validation."""

import logging
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from en2py.console import PROGRESS
from en2py.evaluation.metrics.registry import EPOCH

log = logging.getLogger(__name__)

# The columns of `metrics.csv` that differ between two equal runs.
TIMES = ("tokens_per_second", "validation_share")


class Throughput(Callback):
    """Measure real target tokens per second and the remaining time.

    `validation_share` is the time of validation, samples included, over that of training. The time
    of writing checkpoints counts as neither.

    Args:
        report: Whether to log one line per epoch, where no progress bar is shown.
    """

    def __init__(self, report: bool) -> None:
        self.report = report
        self._ended = self._validating = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks; a run that is resumed inside an epoch does not start that epoch."""
        self._started, self._first_epoch = time.perf_counter(), trainer.current_epoch
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch."""
        self._tokens, self._seconds, self._validating = 0, 0.0, 0.0
        self._ended = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a batch, including the time of collating it."""
        now = time.perf_counter()
        self._seconds, self._ended = self._seconds + now - self._ended, now
        self._tokens += batch.n_tokens
        if batch_idx % 10 == 0:
            trainer.progress_bar_metrics["tok/s"] = round(self._tokens / max(self._seconds, 1e-9))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training."""
        self._paused = time.perf_counter()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of validation."""
        self._validation_started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of validation and continue that of training."""
        now = time.perf_counter()
        self._validating += now - self._validation_started
        self._ended += now - self._paused

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the throughput of the epoch and report it."""
        done = trainer.current_epoch + 1
        seconds = max(self._seconds, 1e-9)
        metrics = trainer.callback_metrics
        pl_module.log("tokens_per_second", self._tokens / seconds)
        pl_module.log("validation_share", self._validating / seconds)
        if not self.report or not trainer.is_global_zero:
            return
        each = (time.perf_counter() - self._started) / (done - self._first_epoch)
        shown = EPOCH
        parts = [
            f"epoch {done}/{trainer.max_epochs}",
            *(f"{name} {float(metrics[name]):.3f}" for name in shown if name in metrics),
            f"{self._tokens / seconds:,.0f} tokens/s",
            f"{each * ((trainer.max_epochs or done) - done):.0f} s left",
        ]
        log.info("  ".join(parts), extra=PROGRESS)
