"""Stop before an update with non-finite or exploding gradients."""

import logging
import math
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from en2py.data.batch import Batch
from en2py.errors import Fault

log = logging.getLogger(__name__)

_WINDOW = 101  # recent updates that the median is computed over
_WARMUP = 20  # updates before the median is used
_NAMED = 20  # pairs of a message
_NOT_FINITE = "the loss or a gradient is not finite"


class BadUpdate(Fault):
    """The loss, a gradient or a weight is NaN or infinite, or gradients exploded."""


@dataclass(frozen=True)
class Update:
    """A pending update.

    Attributes:
        size: Sum of the norms of its gradients, or its loss.
        step: Its number.
        rate: Learning rate.
        indices: Places of its pairs in the training split, a tensor per batch.
        copied: On a CUDA device, the event after which `size` is in the memory of the host.
    """

    size: Tensor
    step: int
    rate: float
    indices: list[Tensor]
    copied: torch.cuda.Event | None = None

    def number(self) -> float:
        """Return the size; wait for its copy, but not for later work of the device."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.size.item()


class GradientGuard(Callback):
    """Stop or skip an update with non-finite or exploding gradients before it is applied.

    On a GPU the size is read one step later, so that no step waits for the device; weights are
    checked once more before a checkpoint is written.

    Args:
        skip: Number of such updates that are skipped before training stops; above 0, every step
            waits for the size.
        spike: Also stop or skip if gradients are more than this many times as large as the median
            of the last hundred updates; every step waits for the size. None: they are clipped only.
    """

    def __init__(self, skip: int, spike: float | None = None) -> None:
        self.skip, self.skipped = skip, 0
        self.spike = spike
        self._sizes: list[float] = []
        self._indices: list[Tensor] = []
        self._loss = torch.zeros(())
        self._pending: Update | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Store the pairs of the next update."""
        self._indices.append(batch.indices)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Add the loss to that of the next update."""
        self._loss = self._loss + loss.detach()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Check the norm of the gradients, one number for all of them."""
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        size = torch.stack(torch._foreach_norm(gradients)).sum()
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            size = self._loss  # fp16 gradients may overflow: its scaler skips such updates
        self._loss = torch.zeros(())
        waits = pl_module.device.type == "cpu" or self.skip or self.spike
        copied = None
        if not waits and size.is_cuda:
            # Copied now: `item` in the next step would wait for all work of that step.
            size = size.to("cpu", non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        update: Update | None = Update(
            size, trainer.global_step, optimizer.param_groups[0]["lr"], self._indices, copied
        )
        self._indices = []
        if not waits:
            update, self._pending = self._pending, update
        problem = None if update is None else self._problem(update.number())
        if update is None or problem is None:
            return
        message = _message(problem, update, trainer)
        if self.skipped >= self.skip:
            raise BadUpdate(
                f"{message}; no checkpoint contains this update: use a smaller optimizer.lr or a "
                "longer warm-up, inspect these pairs, or skip such batches with "
                f"faults.skip_batches={max(1, 2 * self.skip)}"
            )
        self.skipped += 1
        for parameter in pl_module.parameters():
            parameter.grad = None  # an optimizer does not change such a parameter
        log.warning(f"{message}; skipped ({self.skipped} of {self.skip})")

    def _problem(self, size: float) -> str | None:
        """Return the problem of gradients of this size; add the size to the window if none."""
        if not math.isfinite(size):
            return _NOT_FINITE
        if self.spike is None:
            return None
        median = statistics.median(self._sizes) if len(self._sizes) >= _WARMUP else 0.0
        if 0 < self.spike * median < size:
            return f"the gradients are {size / median:.3g} times their median size (faults.spike)"
        self._sizes = [*self._sizes[1 - _WINDOW :], size]
        return None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Raise if a weight is not finite, so that no checkpoint contains it."""
        weights = [w for w in checkpoint["state_dict"].values() if w.is_floating_point()]
        if math.isfinite(torch.stack(torch._foreach_norm(weights)).sum().item()):
            return
        problem = "a weight is not finite"
        if self._pending:
            problem = _message(_NOT_FINITE, self._pending, trainer)
        raise BadUpdate(
            f"{problem}: nothing is saved at step {trainer.global_step}, the last checkpoint is "
            "from before it; use a smaller optimizer.lr or a longer warm-up"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of skipped updates and the window of sizes."""
        return {"skipped": self.skipped, "sizes": self._sizes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of skipped updates and the window of sizes."""
        self.skipped, self._sizes = state_dict["skipped"], list(state_dict["sizes"])


def _message(problem: str, update: Update, trainer: Trainer) -> str:
    pairs = trainer.datamodule.prepared.splits["train"]  # type: ignore[attr-defined]
    ids = [pairs[i].pair.id for indices in update.indices for i in indices.tolist()]
    named = ", ".join(ids[:_NAMED])
    named += f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{problem} at step {update.step} (learning rate {update.rate:.3g}, pairs {named})"
