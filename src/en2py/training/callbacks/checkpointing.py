"""Save the best and the last checkpoint, so that training resumes exactly."""

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from en2py.training import signals


class BestCheckpoint(Checkpoint):
    """Save the epoch with the lowest value of a metric in a file, `best.ckpt`.

    It is saved after the epoch, so that training can resume from it too. The best value is part
    of the checkpoint. This callback precedes all that save an epoch: it writes the epoch's metrics.
    """

    def __init__(self, path: Path, monitor: str) -> None:
        self.path, self.monitor = path, monitor
        self.value, self.epoch = math.inf, -1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this epoch is the best."""
        _write_metrics(trainer)
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and float(value) < self.value:
            self.value, self.epoch = float(value), trainer.current_epoch
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and its epoch."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best value, if its file exists."""
        if self.path.exists():
            self.value, self.epoch = state_dict["value"], state_dict["epoch"]


class LastCheckpoint(Checkpoint):
    """Save `last.ckpt` before each validation, after each epoch, periodically and on a signal.

    Saves happen only where training can resume exactly: between two updates, before a validation
    and at the end of an epoch. The last validation of a run that `trainer.max_steps` or
    `trainer.max_time` ends is no such place: Lightning would resume behind it.

    After SIGINT (Ctrl-C), SIGTERM or SIGUSR1, the next save is followed by an exit with code 130 or
    143; during a validation the exit is immediate, for a checkpoint is on disk. A second signal
    has its default effect.

    Args:
        path: The file.
        every_n_minutes: A kill loses at most this much work (or one epoch, if that is shorter).
        every_n_steps: Also save after this many batches; None: no such rule.
    """

    def __init__(self, path: Path, every_n_minutes: float, every_n_steps: int | None) -> None:
        self.path = path
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps
        self._saved_at = time.monotonic()
        self._signal = 0
        self._validating = False
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and install the signal handlers."""
        self._saved_at = time.monotonic()
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in signals.SIGNALS:
                self._handlers[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:
            return  # a worker of the data loader, which ends with its parent
        self._signal = number
        self._restore_signal_handlers()
        action = "exiting" if self._validating else "saving a checkpoint, then exiting"
        print(f"{signal.Signals(number).name}: {action}", file=sys.stderr, flush=True)
        if self._validating:
            signals.exit_on_signal(number)

    def _restore_signal_handlers(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a save is due or a signal was received."""
        done = batch_idx + 1
        if done >= trainer.num_training_batches or _is_complete(trainer):
            return  # validation or the end of the epoch follows and saves
        if done % trainer.accumulate_grad_batches:
            return  # a checkpoint does not contain accumulated gradients
        by_step = self.every_n_steps and done % self.every_n_steps == 0
        due = time.monotonic() - self._saved_at > 60 * self.every_n_minutes
        # Broadcast, for either all ranks save or none.
        if by_step or trainer.strategy.broadcast(bool(due or self._signal)):
            self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save as if the first validation batch had started, so that a resumed run validates.

        Lightning resumes after the validation from a checkpoint that was saved before it.
        """
        if trainer.sanity_checking:
            return
        if not _is_complete(trainer):
            progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
            progress.total.reset()
            progress.increment_ready()
            progress.increment_started()
            self._save(trainer)
            progress.reset()
        elif self._signal:
            signals.exit_on_signal(self._signal)
        self._validating = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Delay the exit on a signal until the next save again."""
        self._validating = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch."""
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers; exit if a signal came after the last save."""
        self._restore_signal_handlers()
        if self._signal:
            signals.exit_on_signal(self._signal)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the signal handlers; the run resumes from the last checkpoint."""
        self._restore_signal_handlers()

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
        if self._signal:
            signals.exit_on_signal(self._signal)


def _is_complete(trainer: Trainer) -> bool:
    """Return whether a run has done its last update, so that Lightning would not enter its loop."""
    may_stop = trainer.should_stop and trainer.fit_loop._can_stop_early
    return may_stop or trainer.global_step == trainer.max_steps


def _write_metrics(trainer: Trainer) -> None:
    """Write the metrics of an epoch to the metrics file before the checkpoint that ends the epoch.

    Lightning writes them afterwards: a kill in between would lose them.
    """
    results: Any = trainer._results
    for logger in trainer.loggers[:1] if results else []:  # the first is `metrics.csv`
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1  # as Lightning counts there
        values = results.metrics(on_step=False)["log"]
        logger.log_metrics({**values, "epoch": trainer.current_epoch + 1}, step)
        logger.save()
