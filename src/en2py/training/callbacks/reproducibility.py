"""Seed the random numbers of every batch, so that a resumed run equals an uninterrupted one."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class SeedEachBatch(Callback):
    """Make dropout a function of (seed, epoch, batch).

    Lightning does not store the state of the random number generators.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators for this batch."""
        place = (self.seed * 1_000_003 + trainer.current_epoch) * 1_000_003 + batch_idx
        seed = (place * 8191 + trainer.global_rank) % 2**63
        torch.default_generator.manual_seed(seed)  # torch.manual_seed is 100 times slower
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)
