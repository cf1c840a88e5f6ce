"""What a run does besides training: exact resume, checkpoints, samples, progress."""

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from en2py.training import signals


class BestCheckpoint(Checkpoint):
    """Keeps the weights of the epoch with the lowest value of a metric in `best.ckpt`.

    Saved after the epoch, so that training can go on from it too; what was best so far lives in
    the checkpoint itself, not in the name of a folder.

    Args:
        path: The file.
        monitor: The metric; lower is better.
    """

    def __init__(self, path: Path, monitor: str) -> None:
        self.path, self.monitor = path, monitor
        self.value, self.epoch = math.inf, -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if this epoch is the best."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and float(value) < self.value:
            self.value, self.epoch = float(value), trainer.current_epoch
            _log_epoch(trainer)
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return what was best so far."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was best, if its file is here."""
        if self.path.exists():
            self.value, self.epoch = state_dict["value"], state_dict["epoch"]


class LastCheckpoint(Checkpoint):
    """Overwrites `last.ckpt` before each validation, after each epoch, every so often, on a signal.

    It saves only where training can go on exactly: between two updates, before a validation, and
    after the epoch that it ends.

    SIGINT (Ctrl-C), SIGTERM and SIGUSR1 are answered at the next such place: save, then leave with
    exit code 130 or 143. Inside of a validation nothing is left to save. A second one is taken as
    it comes.

    Args:
        path: The file.
        every_n_minutes: A kill costs at most this much work (or one epoch, if that is shorter).
        every_n_steps: Also after this many batches; None for no such rule.
    """

    def __init__(self, path: Path, every_n_minutes: float, every_n_steps: int | None) -> None:
        self.path = path
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps
        self._saved_at = time.monotonic()
        self._signal = 0
        self._validating = False
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock and listen for signals."""
        self._saved_at = time.monotonic()
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in signals.ASKING:
                self._handlers[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:
            return  # a loader's worker; it ends with us
        self._signal = number
        self._listen_no_more()
        words = "leaving" if self._validating else "saving, then leaving"
        print(f"{signal.Signals(number).name}: {words}", file=sys.stderr, flush=True)
        if self._validating:
            signals.exit_on_signal(number)

    def _listen_no_more(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if it is time, or if somebody asks."""
        done = batch_idx + 1
        if done >= trainer.num_training_batches or _validates_after(done, trainer):
            return  # validation comes first, or the end of the epoch: they save
        if done % trainer.accumulate_grad_batches:
            return  # gradients that wait for their update are in no checkpoint
        by_step = self.every_n_steps and done % self.every_n_steps == 0
        due = time.monotonic() - self._saved_at > 60 * self.every_n_minutes
        # Broadcast, for all ranks save, or none does.
        if by_step or trainer.strategy.broadcast(bool(due or self._signal)):
            self._save(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save as if the first validation batch had been begun, so that all are done on the way on.

        From a checkpoint of before the validation Lightning goes on after it.
        """
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        progress.total.reset()
        progress.increment_ready()
        progress.increment_started()
        self._save(trainer)
        progress.reset()
        self._validating = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait with an answer for the end of the epoch from here on."""
        self._validating = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch."""
        _log_epoch(trainer)
        self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back, or leave: a signal may have come after the last save."""
        self._listen_no_more()
        if self._signal:
            signals.exit_on_signal(self._signal)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back; the last checkpoint is the last place to go on from."""
        self._listen_no_more()

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
        if self._signal:
            signals.exit_on_signal(self._signal)


def _log_epoch(trainer: pl.Trainer) -> None:
    """Write an epoch's figures to the metrics file before the checkpoint that ends the epoch.

    Lightning does it afterwards: a kill in between would lose them.
    """
    results: Any = trainer._results
    for logger in trainer.loggers[:1] if results else []:  # the first is `metrics.csv`
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1  # as Lightning counts there
        values = results.metrics(on_step=False)["log"]
        logger.log_metrics({**values, "epoch": trainer.current_epoch}, step)
        logger.save()


def _validates_after(n_batches: int, trainer: pl.Trainer) -> bool:
    every = trainer.val_check_batch  # None where time decides
    return every is not None and n_batches % every == 0
