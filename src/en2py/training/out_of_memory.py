"""When training itself goes wrong: losses that are not finite or jump, and memory that runs out."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from en2py.data.batch import Batch
from en2py.errors import Fault

T = TypeVar("T")


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
