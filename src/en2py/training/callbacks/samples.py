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
        every_n_epochs: How often; also after the last epoch.
    """

    def __init__(self, n_samples: PositiveInt, every_n_epochs: PositiveInt) -> None:
        self.n_samples, self.every_n_epochs = n_samples, every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate, score and log."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if trainer.sanity_checking or not due:
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
