"""Generate and score sample programs during training."""

from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt
from pytorch_lightning import Callback, LightningModule, Trainer

from en2py.console import progress_bar
from en2py.data.pairs import Pair
from en2py.evaluation.metrics.program_metrics import score
from en2py.evaluation.metrics.registry import GENERATED


class SampleGenerations(Callback):
    """Generate programs for some validation descriptions, score them and log them as a table.

    Args:
        n_samples: Number of validation descriptions, the same in each epoch.
        every_n_epochs: How often: at the first validation after each so many epochs, and at the
            last one that `trainer.max_epochs` allows.
    """

    def __init__(self, n_samples: PositiveInt, every_n_epochs: PositiveInt) -> None:
        self.n_samples, self.every_n_epochs = n_samples, every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate, score and log."""
        epoch = trainer.current_epoch + 1
        if trainer.sanity_checking or not self._is_due(epoch, trainer):
            return
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        pairs: Sequence[Pair] = datamodule.sample("val", self.n_samples)
        module: Any = pl_module
        with progress_bar("generating samples"):
            texts: list[str] = module.programs([pair.description for pair in pairs])
        scores = score(texts, [pair.code for pair in pairs])
        for name in GENERATED:
            module.log(f"val/{name}", float(scores.values[name]))
        columns = ["epoch", "description", "reference", "output"]
        rows = [[epoch, p.description, p.code, t] for p, t in zip(pairs, texts, strict=True)]
        for logger in trainer.loggers:
            if hasattr(logger, "log_table"):
                logger.log_table("val/samples", columns=columns, data=rows[:16])

    def _is_due(self, epoch: int, trainer: Trainer) -> bool:
        """Return whether samples are due at the validation after an epoch, counted from 1."""
        between = trainer.check_val_every_n_epoch or 1  # epochs
        is_last = epoch <= (trainer.max_epochs or 0) < epoch + between
        return is_last or epoch // self.every_n_epochs > (epoch - between) // self.every_n_epochs
