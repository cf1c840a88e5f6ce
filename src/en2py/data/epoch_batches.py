"""Batches of similar length, in an order that depends on (seed, epoch) alone."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice

import torch
from torch.utils.data import Sampler

_TGT_STEP = 8  # target lengths are rounded up to this when batches are cut


class EpochBatches(Sampler[list[int]]):
    """Batches of similar length under a token budget; their order is f(seed, epoch).

    Pairs are sorted by length with ties broken at random, split where a batch would exceed the
    budget, and the batches are shuffled. The boundaries depend on the lengths alone, so every epoch
    has the same number of batches.

    Args:
        lengths: (source, target) length of each pair, in tokens.
        max_tokens: Maximum target tokens in a batch, with padding; a longer pair is a batch alone.
        seed: Seed of the order; None keeps the order by length, for evaluation.
        rank: Number of this process; the batches are distributed over the processes.
        world: Number of processes.

    Attributes:
        n_read: In evaluation, batches of this process that are read, evenly spaced by length; None:
            all.
    """

    n_read: int | None = None

    def __init__(
        self,
        lengths: Sequence[tuple[int, int]],
        max_tokens: int,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.seed, self.rank, self.world = seed, rank, world
        self.epoch = self.skip = 0
        # Source lengths are rounded too, so that batches differ from epoch to epoch.
        self._keys = rounded_lengths(lengths)
        widths = [width for width, _ in sorted(self._keys)]
        self._cuts = _cuts(widths, max_tokens)
        while seed is None and len(self._cuts) <= world and max_tokens > 1:
            max_tokens //= 2  # every rank needs a batch
            self._cuts = _cuts(widths, max_tokens)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the order; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        n_batches = len(self._cuts) - 1
        # In training every rank takes the same number of steps, or the others would block.
        return -(-n_batches // self.world) if self.seed is not None else len(self._mine(n_batches))

    @property
    def are_single_pairs(self) -> bool:
        """Whether no two pairs fit into a batch."""
        return len(self._cuts) == len(self._keys) + 1 > 2

    def _mine(self, n_batches: int) -> range:
        return range(self.rank, n_batches, self.world)

    def __iter__(self) -> Iterator[list[int]]:
        if self.seed is None:
            order = sorted(range(len(self._keys)), key=lambda i: self._keys[i])
            batches = self._cut(order)
            mine = self._mine(len(batches))
            n, n_read = len(mine), len(mine) if self.n_read is None else self.n_read
            yield from (batches[mine[(2 * i + 1) * n // (2 * n_read)]] for i in range(n_read))
            return
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        ties = torch.randperm(len(self._keys), generator=generator).tolist()
        batches = self._cut(sorted(ties, key=lambda i: self._keys[i]))  # sorted() is stable
        shuffled = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        skip, self.skip = self.skip, 0
        first, end = self.rank + skip * self.world, len(self) * self.world
        yield from islice(cycle(shuffled), first, end, self.world)

    def _cut(self, order: list[int]) -> list[list[int]]:
        return [order[a:b] for a, b in zip(self._cuts, self._cuts[1:], strict=False)]


def rounded_lengths(lengths: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the keys that pairs are sorted by: rounded target and source lengths."""
    return [(-(-tgt // _TGT_STEP) * _TGT_STEP, -(-src // 4)) for src, tgt in lengths]


def _cuts(widths: Sequence[int], max_tokens: int) -> list[int]:
    """Return the boundaries of batches in pairs sorted by width."""
    cuts, first = [0], 0
    for i, width in enumerate(widths):
        if (i + 1 - first) * width > max_tokens and i > first:
            cuts.append(i)
            first = i
    return [*cuts, len(widths)]
