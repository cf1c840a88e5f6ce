"""Average the weights of training, for validation and checkpoints."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer, callbacks


class EMAWeightAveraging(callbacks.EMAWeightAveraging):
    """Lightning's exponential moving average, which begins with the trained weights.

    Lightning's is that of the initial weights until `update_starting_at_step`: it would validate
    and save an untrained model until then.
    """

    _has_begun = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average; before it begins, take over the weights."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        average: Any = self._average_model
        if not self._has_begun:
            self._has_begun = bool(average.n_averaged)
        if not self._has_begun:
            average.module.load_state_dict(pl_module.state_dict())
