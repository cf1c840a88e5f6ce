"""Packed batches: token-wise layers skip padding."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS_IN_BF16 = 64  # their number is a multiple of it, see `Rows`


class _Pad(torch.autograd.Function):
    """Rows to their places among zeros; spare rows have none, and a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places)
        ctx.n_rows = len(x)
        return x.new_zeros(size, *x.shape[1:]).index_copy_(0, places, x[: len(places)])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (places,) = ctx.saved_tensors
        return _pick(grads[0], places, ctx.n_rows), None, None


class _Pack(torch.autograd.Function):
    """The rows at some places; torch's own gradient adds where this one only has to copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, n_rows: int) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(x)
        return _pick(x, places, n_rows)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (places,) = ctx.saved_tensors
        (grad,) = grads
        padded = grad.new_zeros(ctx.size, *grad.shape[1:])
        return padded.index_copy_(0, places, grad[: len(places)]), None, None


def _pick(x: Tensor, places: Tensor, n_rows: int) -> Tensor:
    """Return the rows at some places, and zeros below them."""
    if n_rows == len(places):
        return x.index_select(0, places)
    rows = x.new_empty(n_rows, *x.shape[1:])
    rows[len(places) :] = 0
    torch.index_select(x, 0, places, out=rows[: len(places)])
    return rows


class Rows:
    """Where the N real tokens of a batch stand, so that only attention has to see padding.

    Args:
        places: Of the real tokens in the flattened batch, `[N]`, each once.
        shape: Of the batch, (B, T).
        multiple: Spare rows bring N to a multiple of this. Products in bf16 need code for their
            shape, which on CPU takes the more time to make the more shapes there are.
    """

    def __init__(self, places: Tensor, shape: torch.Size, multiple: int = 1) -> None:
        self.places, self.shape = places, shape
        self.spare = -len(places) % multiple

    def of(self, x: Tensor) -> Tensor:
        """Take the real tokens' entries out of `[B, T]`, `[N + spare]`; spare ones are 0."""
        return F.pad(x.flatten()[self.places], (0, self.spare))

    @property
    def columns(self) -> Tensor:
        """Return the position of each token in its row, `[N + spare]`."""
        return F.pad(self.places % self.shape[1], (0, self.spare))

    def pad(self, x: Tensor) -> Tensor:
        """Lay `[N + spare, D]` out as `[B, T, D]`, zeros at padding."""
        n_rows, width = self.shape
        padded: Tensor = _Pad.apply(x, self.places, n_rows * width)  # type: ignore[no-untyped-call]
        return padded.view(n_rows, width, -1)

    def pack(self, x: Tensor) -> Tensor:
        """Take the real tokens out of `[B, T, D]`, `[N + spare, D]`; spare rows are zeros."""
        n_rows = len(self.places) + self.spare
        packed: Tensor = _Pack.apply(x.flatten(0, 1), self.places, n_rows)  # type: ignore[no-untyped-call]
        return packed
