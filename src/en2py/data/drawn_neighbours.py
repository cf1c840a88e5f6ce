"""Training pairs with a neighbour for each in its source, drawn in each epoch."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch.utils.data import Dataset

from en2py.data.batch import Batch, Example, collate
from en2py.data.epoch_batches import EpochBatches, rounded_lengths
from en2py.data.vocab import Vocab


class WithNeighbours(Dataset[Batch]):
    """Training pairs with drawn neighbours; an item is a batch, see `DrawnNeighbours`.

    Args:
        examples: The pairs without neighbours.
        near: The neighbours of each, nearest first; at most k. Missing ones are none.
        added: The ids that each neighbour adds to a source.
        k: Most neighbours of a pair.
        vocab: Has the special ids.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        near: Sequence[Sequence[int]],
        added: Sequence[list[int]],
        k: int,
        vocab: Vocab,
    ) -> None:
        self.examples, self.near, self.added, self.vocab = examples, near, added, vocab
        self.n = k + 1  # positions of a pair

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, positions: list[int]) -> Batch:
        return collate([self._example(*divmod(p, self.n)) for p in positions], self.vocab)

    def lengths(self) -> list[list[tuple[int, int]]]:
        """Return the (source, target) lengths of each pair with each neighbour, and with none."""
        rows = ([self._example(i, rank) for rank in range(self.n)] for i in range(len(self)))
        return [[example.lengths for example in row] for row in rows]

    def _example(self, pair: int, rank: int) -> Example:
        example, near = self.examples[pair], self.near[pair][rank:]
        return replace(example, src=[*example.src, *self.added[near[0]]]) if near else example


class DrawnNeighbours(EpochBatches):
    """Batches of training pairs with a neighbour for each, drawn by f(seed, epoch).

    A position is `pair * (k + 1) + rank`: the rank of its neighbour, or k for none.

    Args:
        lengths: (source, target) length of each pair with each of k neighbours, and with none.
        omit: Share of pairs without neighbour.
        others: Arguments of `EpochBatches` behind `lengths`.
    """

    def __init__(
        self, lengths: Sequence[Sequence[tuple[int, int]]], omit: float, *others: Any
    ) -> None:
        super().__init__([by_rank[-1] for by_rank in lengths], *others)
        self.lengths, self.omit = lengths, omit

    def __iter__(self) -> Iterator[list[int]]:
        draws = random.Random(f"neighbours {self.seed} {self.epoch}")
        n = len(self.lengths[0])
        ranks = [
            n - 1 if draws.random() < self.omit else draws.randrange(n - 1) for _ in self.lengths
        ]
        self._keys = rounded_lengths(
            by_rank[rank] for by_rank, rank in zip(self.lengths, ranks, strict=True)
        )
        for batch in super().__iter__():
            yield [pair * n + ranks[pair] for pair in batch]
