"""Seed the noise of every batch, so that a resumed run equals an uninterrupted one."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback


class SeedEachBatch(Callback):
    """Makes dropout's noise f(seed, epoch, batch), so that a resumed run draws what it would have.

    Lightning stores no state of the random number generators.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators for this batch."""
        epoch = trainer.current_epoch
        seed = (
            (self.seed * 1_000_003 + epoch) * 1_000_003 + batch_idx
        ) * 8191 + trainer.global_rank
        torch.default_generator.manual_seed(seed % 2**63)  # torch.manual_seed is 100 times slower
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed % 2**63)
