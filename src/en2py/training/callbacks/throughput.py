"""Measure the time of training, tokens per second and the share of validation."""

import math
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer

# The columns of `metrics.csv` that differ between two equal runs.
TIMES = ("tokens_per_second", "validation_share")


class TrainingTime(Timer):
    """Measure the time of training over all starts of a resumed run; stop at `max_time`.

    Checkpoints store the time, so work that is repeated after an interruption counts once. The name
    differs from Lightning's class, for two callbacks of one name cannot be restored.
    """


def training_time(trainer: Trainer) -> float:
    """Return the seconds of training so far, over all starts of the run."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return sum(c.time_elapsed() for c in callbacks if isinstance(c, TrainingTime))


def remaining_time(trainer: Trainer) -> float:
    """Return the seconds until `trainer.max_time`, infinite without one."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    remaining = [c.time_remaining() for c in callbacks if isinstance(c, Timer)]
    return max(0.0, min((left for left in remaining if left is not None), default=math.inf))


class Throughput(Callback):
    """Measure real target tokens per second of all devices, in training alone.

    `validation_share` is the time of validation, samples included, over that of training. The time
    of writing checkpoints at the end of an epoch counts as neither. A run that is resumed inside an
    epoch measures the rest of it.
    """

    def __init__(self) -> None:
        self._ended = self._validating = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Return the throughput of this epoch so far."""
        return self._world * self._tokens / max(self._seconds, 1e-9)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks; a run that is resumed inside an epoch does not start that epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch."""
        self._tokens, self._seconds, self._validating = 0, 0.0, 0.0
        self._ended = time.perf_counter()
        self._world = trainer.world_size

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a batch, including the time of collating it."""
        now = time.perf_counter()
        self._seconds, self._ended = self._seconds + now - self._ended, now
        self._tokens += batch.n_tokens

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
        """Log the throughput of the epoch."""
        if self._tokens:  # none after a resume at the end of an epoch
            pl_module.log("tokens_per_second", self.tokens_per_second)
            pl_module.log("validation_share", self._validating / self._seconds)
