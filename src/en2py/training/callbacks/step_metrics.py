"""Log the loss and the learning rate every few updates."""

import math
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class StepMetrics(Callback):
    """Log `train/loss_step` and `lr` every `trainer.log_every_n_steps` updates; 0: never.

    `lr` is that of the update, also the one that is logged with the metrics of an epoch, of its
    last update. `train/loss`, the mean of an epoch, is logged by the module.
    """

    def __init__(self) -> None:
        self._lr = math.nan  # of the last update

    def state_dict(self) -> dict[str, Any]:
        """Return the learning rate, for a run that is resumed between its update and its log."""
        return {"lr": self._lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._lr = state_dict["lr"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the last update of a resumed run."""
        self._seen = trainer.global_step
        if math.isnan(self._lr):
            self._lr = trainer.optimizers[0].param_groups[0]["lr"]

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Remember the learning rate; after the update it is already that of the next one."""
        self._lr = optimizer.param_groups[0]["lr"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log if an update is done and its turn has come."""
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if step == self._seen or not every or step % every:
            return
        self._seen = step
        # Lightning divides the loss of a batch by the number of batches of an update.
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        values = {"train/loss_step": loss, "lr": self._lr}
        for logger in trainer.loggers:
            logger.log_metrics(values, step - 1)  # as Lightning counts
        for logger in trainer.loggers[:1]:  # the next checkpoint counts on this row
            logger.save()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the learning rate of the last update."""
        pl_module.log("lr", self._lr)
