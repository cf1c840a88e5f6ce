"""Correct the state that Lightning restores from a checkpoint."""

import logging
import math
from collections.abc import Mapping
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from en2py.errors import UserError
from en2py.training.module import Seq2SeqModule

log = logging.getLogger(__name__)


class RestoredState(Callback):
    """Correct the state that Lightning restores from a checkpoint.

    Lightning restores the arguments of the optimizer, the schedule and those of callbacks too, so
    that changed ones would have no effect. Where a run resumes from the checkpoint of another run,
    the optimizer keeps its restored moments and gets the configured arguments, the configured
    schedule continues at the share of training that is done, and a callback with another config
    starts with new state. A run that resumes from its own checkpoint keeps all restored state.

    Args:
        configured: The callbacks of the config by their names there.
    """

    def __init__(self, configured: Mapping[str, Callback]) -> None:
        self.configured = configured
        self._changed = False
        self._n_batches: int | float | None = None  # per epoch, of the run of the checkpoint

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the number of batches per epoch."""
        checkpoint["batches_per_epoch"] = trainer.num_training_batches

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remove the state of parts with another config before it is restored."""
        stored, new = checkpoint["en2py"], cast(Seq2SeqModule, pl_module).metadata
        self._changed = stored["run"] != new["run"]
        self._n_batches = checkpoint.get("batches_per_epoch")
        if not self._changed:
            return
        checkpoint["lr_schedulers"] = []
        for name, callback in self.configured.items():
            if new["config"]["callbacks"][name] != stored["config"]["callbacks"].get(name):
                checkpoint["callbacks"].pop(callback.state_key, None)
        averages = any(isinstance(part, WeightAveraging) for part in self.configured.values())
        if "current_model_state" in checkpoint and not averages:
            pl_module.load_state_dict(checkpoint["current_model_state"])  # else the averages train

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish an epoch that is complete; set the arguments of the optimizer and the schedule.

        Raises:
            UserError: If the checkpoint ends inside an epoch that has another number of batches.
        """
        loop, n_batches = trainer.fit_loop, trainer.num_training_batches
        if loop.restarted_on_epoch_end:  # with max_steps Lightning would enter that epoch again
            loop.epoch_loop.restarting = False
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            loop.epoch_loop.update_restart_stage()
        other_batches = self._n_batches not in (None, n_batches)
        if other_batches and loop.restarted_mid_epoch:
            raise UserError(
                f"the checkpoint was saved inside an epoch of {self._n_batches} batches, which "
                f"now has {n_batches}: keep the options that change it (batch.*, "
                "trainer.limit_train_batches, trainer.devices), or resume from a checkpoint of "
                "the end of an epoch, for example best.ckpt"
            )
        for callback in trainer.early_stopping_callbacks:
            if self._changed:
                callback.stopping_reason = EarlyStoppingReason.NOT_STOPPED  # the other run was
            elif callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
                trainer.should_stop = True  # Lightning does not restore this
        if not self._changed and not other_batches:
            return
        done = _updates_done(trainer)
        configured: Any = pl_module.configure_optimizers()
        schedule = configured["lr_scheduler"]["scheduler"]
        configured["optimizer"]._opt_called = True  # its updates are those of the checkpoint
        for _ in range(done):
            schedule.step()
        groups = configured["optimizer"].param_groups
        for group, new in zip(trainer.optimizers[0].param_groups, groups, strict=True):
            group.update({name: value for name, value in new.items() if name != "params"})
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(schedule.state_dict())
        if done != trainer.global_step:
            log.warning(
                f"the schedule of the learning rate continues at update {done:,} of "
                f"{trainer.estimated_stepping_batches:,}, the share of training that is done; "
                f"the epochs before had another number of updates, {trainer.global_step:,} in all"
            )


def _updates_done(trainer: Trainer) -> int:
    """Return the number of updates that lead to this position with the present batches."""
    per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    epochs = trainer.max_epochs or 0
    if trainer.max_steps >= 0 and not 0 < epochs * per_epoch < trainer.max_steps:
        return trainer.global_step  # training ends after a number of updates
    inside = 0
    if trainer.fit_loop.restarted_mid_epoch:
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        inside = math.ceil(progress.processed / trainer.accumulate_grad_batches)
    return trainer.current_epoch * per_epoch + inside
