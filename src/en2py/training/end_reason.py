"""Report what ended training."""

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from en2py.console import counted
from en2py.training.callbacks.throughput import remaining_time


def early_stop(trainer: Trainer) -> EarlyStopping | None:
    """Return the callback that stopped training in the last completed epoch."""
    for callback in trainer.early_stopping_callbacks:
        stopped = callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED
        if stopped and callback.stopped_epoch == trainer.current_epoch - 1:
            return callback
    return None


def training_end(trainer: Trainer) -> str:
    """Return what ended training, for example `completed 10 epochs`."""
    epochs = counted(trainer.current_epoch, "epoch")
    done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    if trainer.current_epoch == trainer.max_epochs and done >= trainer.num_training_batches:
        return f"completed {epochs}"
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"stopped after {trainer.global_step} updates: trainer.max_steps is reached"
    early = early_stop(trainer)
    if early is not None:
        reason = (early.stopping_reason_message or "").removesuffix(" Signaling Trainer to stop.")
        if early.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
            reason = f"{early.monitor} did not improve for {early.wait_count}"
        return f"stopped early after {epochs}: {reason}"
    if not remaining_time(trainer):
        return f"stopped after {epochs}: trainer.max_time is reached"
    return f"stopped after {epochs}"
