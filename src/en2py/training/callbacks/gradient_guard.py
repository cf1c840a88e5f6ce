"""Stop before an update with non-finite or exploding gradients."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from en2py.data.batch import Batch
from en2py.errors import Fault

_WINDOW = 101  # the last updates, whose median is the usual size


_WARMUP = 20  # updates before which no size is usual


@dataclass(frozen=True)
class Update:
    """What is known of an update before it is made.

    Attributes:
        size: Norms of its gradients, summed, or its loss.
        step: Its number.
        rate: Learning rate.
        indices: Places of its pairs in the training split, a tensor a batch.
        arrived: On a CUDA device, what says that `size` is in the host's memory.
    """

    size: Tensor
    step: int
    rate: float
    indices: list[Tensor]
    arrived: torch.cuda.Event | None = None

    def number(self) -> float:
        """Return the size; wait for it, but not for what was begun after it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.size.item()


class GradientGuard(Callback):
    """Ends training when a gradient is not finite, or jumps, before the weights take it in.

    On a GPU the answer is read one step late, so that the step need not wait for it; weights are
    looked at once more before a checkpoint is written.

    Args:
        skip: Leave out so many such updates before ending; then each step waits for its answer.
        spike: Gradients more than so many times as large as the median of the last hundred are
            such an update too; each step waits then. None: they are clipped like any others.
    """

    def __init__(self, skip: int, spike: float | None = None) -> None:
        self.skip, self.skipped = skip, 0
        self.spike = spike
        self._sizes: list[float] = []
        self._indices: list[Tensor] = []
        self._loss = torch.zeros(())
        self._late: Update | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Remember which pairs the next update learns from."""
        self._indices.append(batch.indices)

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Remember the loss."""
        self._loss = loss.detach()

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Look at the norm of the gradients, one number for all of them."""
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        size = torch.stack(torch._foreach_norm(gradients)).sum()
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            size = self._loss  # under fp16 gradients may overflow: its scaler leaves them out
        waits = pl_module.device.type == "cpu" or self.skip or self.spike
        late, arrived = not waits, None
        if late and size.is_cuda:
            # Sent off now: `item` in the next step would queue up behind all of that step's work.
            size = size.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        update: Update | None = Update(
            size, trainer.global_step, optimizer.param_groups[0]["lr"], self._indices, arrived
        )
        self._indices = []
        if late:
            update, self._late = self._late, update
        wrong = None if update is None else self._wrong(update.number())
        if update is None or wrong is None:
            return
        told = _told(wrong, update, trainer)
        if self.skipped >= self.skip:
            raise BadUpdate(
                f"{told}; it reached no checkpoint: take a smaller optimizer.lr or a longer "
                "warm-up, look at these pairs, or let "
                f"faults.skip_batches={max(1, 2 * self.skip)} leave such batches out"
            )
        self.skipped += 1
        for parameter in pl_module.parameters():
            parameter.grad = None  # an optimiser leaves such a parameter as it is
        print(f"{told}; left out ({self.skipped} of {self.skip})", flush=True)

    def _wrong(self, size: float) -> str | None:
        """Say what is wrong with gradients of this size; remember it if nothing is."""
        if not math.isfinite(size):
            return _NOT_FINITE
        if self.spike is None:
            return None
        usual = statistics.median(self._sizes) if len(self._sizes) >= _WARMUP else 0.0
        if 0 < self.spike * usual < size:
            return f"the gradients are {size / usual:.3g} times as large as usual (faults.spike)"
        self._sizes = [*self._sizes[1 - _WINDOW :], size]
        return None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep weights that are not finite out of every checkpoint."""
        weights = [w for w in checkpoint["state_dict"].values() if w.is_floating_point()]
        if math.isfinite(torch.stack(torch._foreach_norm(weights)).sum().item()):
            return
        told = "a weight is not finite"
        if self._late:
            told = _told(_NOT_FINITE, self._late, trainer)
        raise BadUpdate(
            f"{told}: nothing is saved at step {trainer.global_step}, the last checkpoint is from "
            "before it; take a smaller optimizer.lr or a longer warm-up"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return how many updates were left out, and what is usual."""
        sizes = {"sizes": self._sizes} if self.spike is not None else {}
        return {"skipped": self.skipped, **sizes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped = state_dict["skipped"]
        self._sizes = list(state_dict.get("sizes", []))


_NOT_FINITE = "the loss or a gradient is not finite"


class BadUpdate(Fault):
    """The loss, a gradient or a weight became NaN or infinite, or gradients jumped."""


def _told(wrong: str, update: Update, trainer: pl.Trainer) -> str:
    pairs = trainer.datamodule.prepared.splits["train"]  # type: ignore[attr-defined]
    ids = [pairs[i].pair.id for indices in update.indices for i in indices.tolist()]
    return (
        f"{wrong} at step {update.step} (learning rate {update.rate:.3g}, pairs {', '.join(ids)})"
    )
