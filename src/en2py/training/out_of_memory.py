"""When training itself goes wrong: losses that are not finite or jump, and memory that runs out."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from en2py.data.batch import Batch
from en2py.errors import Fault

_WINDOW = 101  # the last updates, whose median is the usual size
_WARMUP = 20  # updates before which no size is usual
T = TypeVar("T")


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


class UpdateGuard(Callback):
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


# -- memory -------------------------------------------------------------------------------------


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@contextmanager
def memory_told(max_tokens: int, remedies: str) -> Iterator[None]:
    """Tell in one sentence that memory ran out, and what helps.

    Args:
        max_tokens: Target tokens a batch.
        remedies: What helps beside smaller batches, as the end of the sentence.

    Raises:
        Fault: In place of torch's own errors.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise Fault(
            f"memory ran out with batches of {max_tokens:,} target tokens (batch.max_tokens): take "
            f"batch.max_tokens={max(1, max_tokens // 2)} {remedies}"
        ) from error


def training_remedies(accumulate: int) -> str:
    """Return what helps a training run beside smaller batches.

    Args:
        accumulate: Batches an update.
    """
    return (
        f"with trainer.accumulate_grad_batches={2 * accumulate}, which learns from as many tokens "
        "an update; or faults.cut_batches=true, which goes on with this run and cuts batches "
        "in halves when they do not fit; or a smaller model (model=tiny, model.max_tgt_len=)"
    )


EVALUATION_REMEDIES = "or decoding=greedy, or stop what else holds memory"


def in_halves(module: pl.LightningModule, do: Callable[[Batch], T], batch: Batch) -> list[T]:
    """Do something without gradients with a batch; where memory runs out, with its halves.

    Args:
        module: Tells the device.
        do: Must leave nothing behind when it fails.
        batch: The batch.

    Returns:
        What was done with the batch, or with each part of it, in order.
    """
    try:
        return [do(batch)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or len(batch.indices) < 2:
            raise
    if module.device.type == "cuda":
        torch.cuda.empty_cache()
    first, second = _cut(batch, 2)
    # The counts of a part are those of the whole: with the first alone, sums come out right.
    second = dataclasses.replace(second, n_tokens=0, n_characters=0, spelling_bits=0)
    return [*in_halves(module, do, first), *in_halves(module, do, second)]


def fitting_loss(
    module: pl.LightningModule,
    loss_of: Callable[[Batch], Tensor],
    weight_of: Callable[[Batch], Tensor],
    batch: Batch,
    n_pieces: int,
) -> tuple[Tensor, int]:
    """Return the loss of a batch whose gradients are made in as many pieces as memory asks for.

    Args:
        module: Whose parameters learn.
        loss_of: Mean loss of a batch.
        weight_of: Sum of the weights that the mean divides by.
        batch: The batch.
        n_pieces: With which to begin.

    Returns:
        A scalar whose gradients are there already, and the number of pieces, each of them with an
        equal share of the pairs. One piece gives the very numbers of an ordinary step.
    """
    while True:
        noise = _noise(module.device)
        try:
            return _loss_in_pieces(module, loss_of, weight_of, batch, n_pieces), n_pieces
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or n_pieces >= len(batch.indices):
                raise
        n_pieces *= 2
        print(f"memory ran out: batches are cut in {n_pieces} from here on", flush=True)
        if module.device.type == "cuda":
            torch.cuda.empty_cache()
        _restore(module.device, noise)


def _loss_in_pieces(
    module: pl.LightningModule,
    loss_of: Callable[[Batch], Tensor],
    weight_of: Callable[[Batch], Tensor],
    batch: Batch,
    n_pieces: int,
) -> Tensor:
    parameters = [p for p in module.parameters() if p.requires_grad]
    gradients: list[Tensor | None] = [None] * len(parameters)
    total = torch.zeros((), device=module.device)
    pieces = _cut(batch, n_pieces)
    weights = [weight_of(piece) for piece in pieces]
    for piece, weight in zip(pieces, weights, strict=True):
        loss = loss_of(piece)
        if n_pieces > 1:
            loss = loss * (weight / sum(weights))
        with torch.autocast(module.device.type, enabled=False):
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
        for i, gradient in enumerate(found):
            known = gradients[i]
            if gradient is not None:
                gradients[i] = gradient if known is None else known.add_(gradient)
        total += loss.detach()
        torch.clear_autocast_cache()  # it holds parts of the graph that was just used up
    ready: Tensor = _Ready.apply(total, len(parameters), *parameters, *gradients)  # type: ignore[no-untyped-call]
    return ready


def _cut(batch: Batch, n_pieces: int) -> list[Batch]:
    """Share the pairs of a batch out; its counts stay with the whole."""
    tensors: dict[str, Any] = {k: v for k, v in vars(batch).items() if isinstance(v, Tensor)}
    n_pairs = len(batch.indices)
    size = -(-n_pairs // n_pieces)
    return [
        dataclasses.replace(batch, **{k: v[first : first + size] for k, v in tensors.items()})
        for first in range(0, n_pairs, size)
    ]


class _Ready(torch.autograd.Function):
    """A loss whose gradients were made on the way forward."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, n: int, *tensors: Tensor | None) -> Tensor:
        ctx.save_for_backward(*tensors[n:])
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (scale,) = grads
        found = [None if g is None else g * scale for g in ctx.saved_tensors]
        return None, None, *found, *(None for _ in found)


def _noise(device: torch.device) -> tuple[Tensor, Tensor | None]:
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_gpu


def _restore(device: torch.device, noise: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(noise[0])
    if noise[1] is not None:
        torch.cuda.set_rng_state(noise[1], device)
