"""Prune a trial of a hyperparameter search: stop training early if it is worse than others."""

from typing import Any, Protocol

from pytorch_lightning import Callback, LightningModule, Trainer

_MONITOR = "val/nll"


class Trial(Protocol):
    """What the callback needs of an Optuna trial."""

    def report(self, value: float, step: int) -> None:
        """Store the value of an epoch."""

    def should_prune(self) -> bool:
        """Return whether the trial is worse than others at the same epoch."""


class PruneTrial(Callback):
    """Report `val/nll` of each epoch to a trial, and stop training when it is to be pruned.

    Rank 0 decides for all ranks, not before `trainer.min_epochs` and `trainer.min_steps`. The last
    checkpoint of a pruned run is that of a completed epoch, so the run can be resumed.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.reason = ""  # of a pruned run
        self._is_measured = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that this epoch has a value."""
        self._is_measured = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the value of the epoch; stop training if the trial is to be pruned."""
        value: Any = trainer.callback_metrics.get(_MONITOR)
        if not self._is_measured or value is None:
            return
        self._is_measured = False
        epoch, prune = trainer.current_epoch + 1, False
        if trainer.is_global_zero:
            self.trial.report(float(value), epoch)
            may_stop = epoch != trainer.max_epochs and trainer.fit_loop._can_stop_early
            prune = may_stop and self.trial.should_prune()
        if trainer.strategy.broadcast(prune):
            trainer.should_stop = True
            self.reason = f"after epoch {epoch}: {_MONITOR} {float(value):.3f} is too high"
