"""Show the progress of a training: a line per epoch above a bar with the steps of this epoch."""

import logging
import math
import time
from contextlib import ExitStack
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from en2py.console import PROGRESS, duration, progress_bar
from en2py.evaluation.metrics.registry import EPOCH, format_value, metric
from en2py.training.callbacks.throughput import Throughput, remaining_time
from en2py.training.run_folder import in_sweep

log = logging.getLogger(__name__)


class TrainingProgress(Callback):
    """Log a line per epoch with what was measured in it, and show the steps of the present one.

    Args:
        throughput: Measures tokens per second; it precedes this callback.
    """

    def __init__(self, throughput: Throughput) -> None:
        self._throughput = throughput
        self._open = ExitStack()
        self._nll = ""  # of the last validation

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        self._bar = self._open.enter_context(progress_bar("training"))
        self._started, self._n_batches = time.monotonic(), 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop the metrics of earlier epochs, which Lightning keeps."""
        trainer.callback_metrics.clear()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the steps of the epoch."""
        self._n_batches += 1
        speed = f"{self._throughput.tokens_per_second:,.0f} tokens/s"
        done, left = batch_idx + 1, self._left(trainer, batch_idx + 1)
        self._bar.title = _epoch(trainer)
        self._bar.update(done, trainer.num_training_batches, self._nll or speed, left)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the batches of a validation."""
        self._validated = 0

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """Show the batches of the validation, those of the training sample included."""
        self._validated += 1
        if trainer.sanity_checking:  # before the training starts
            return
        left = self._left(trainer, int(trainer.num_training_batches))
        self._bar.title = f"{_epoch(trainer)} validation"
        self._bar.update(self._validated, sum(trainer.num_val_batches), "", left)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the line of the epoch."""
        metrics = trainer.callback_metrics
        shown = [
            f"{metric(name).label} {format_value(name, float(metrics[name]))}"
            for name in EPOCH
            if name in metrics
        ]
        if shown and in_sweep():
            self._nll = shown[0]
        left = self._left(trainer, int(trainer.num_training_batches))
        if trainer.is_global_zero:
            rate = self._throughput.tokens_per_second  # 0 after a resume at the end of an epoch
            speed = f"{rate:,.0f} tokens/s" if rate else ""
            parts = [_epoch(trainer), *shown, speed, f"{duration(left)} left" if left else ""]
            # Non-breaking spaces: a narrow terminal wraps between two parts.
            line = "  ".join(part.replace(" ", "\u00a0") for part in parts if part)
            log.info(line, extra=PROGRESS)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the bar."""
        self._open.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar."""
        self._open.close()

    def _left(self, trainer: Trainer, done: int) -> float | None:
        """Return the seconds until the last step or `trainer.max_time`, validations included.

        None where no step was timed: the run was resumed at the end of an epoch. Of this epoch
        `done` batches are done.
        """
        if not self._n_batches:
            return None
        each = (time.monotonic() - self._started) / self._n_batches
        n_left = math.inf
        if trainer.max_epochs is not None and trainer.max_epochs != -1:
            n_left = (trainer.max_epochs - trainer.current_epoch) * trainer.num_training_batches
            n_left -= done
        if trainer.max_steps != -1:
            steps = trainer.max_steps - trainer.global_step
            n_left = min(n_left, steps * trainer.accumulate_grad_batches)
        return min(each * max(n_left, 0), remaining_time(trainer))


def _epoch(trainer: Trainer) -> str:
    epoch = trainer.current_epoch + 1
    return f"epoch {epoch}/{trainer.max_epochs}" if trainer.max_epochs != -1 else f"epoch {epoch}"
