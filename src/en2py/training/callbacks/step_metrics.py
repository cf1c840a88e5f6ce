"""Log the loss and the learning rate every few updates."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class StepMetrics(Callback):
    """Log `train/loss_step` and `lr` every `trainer.log_every_n_steps` updates; 0: never.

    `train/loss`, the mean of an epoch, is logged by the module.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the last update of a resumed run."""
        self._seen = trainer.global_step

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
        values = {"train/loss_step": loss, "lr": trainer.optimizers[0].param_groups[0]["lr"]}
        for logger in trainer.loggers:
            logger.log_metrics(values, step - 1)  # as Lightning counts
        for logger in trainer.loggers[:1]:  # the next checkpoint counts on this row
            logger.save()
