"""Load batches in an order that depends on (seed, epoch) alone."""

import copy
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from en2py.data.batch import Batch, Example, Store, collate
from en2py.data.denoising import WithDenoised
from en2py.data.neighbours import Neighbours
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.data.tokenizers.pieces import unused_pieces
from en2py.data.vocab import Vocab, spelling_bits

log = logging.getLogger(__name__)

HYPOTHESES = 256  # most of a decoding batch: fewer need more steps in all, more gain little
_SAMPLE = 150  # pairs of the training sample, about 8,000 tokens
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
    """

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
        self._keys = _rounded(lengths)
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
            yield from (batches[i] for i in self._mine(len(batches)))
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
        super().__init__([own[-1] for own in lengths], *others)
        self.lengths, self.omit = lengths, omit

    def __iter__(self) -> Iterator[list[int]]:
        draws = random.Random(f"neighbours {self.seed} {self.epoch}")
        n = len(self.lengths[0])
        ranks = [
            n - 1 if draws.random() < self.omit else draws.randrange(n - 1) for _ in self.lengths
        ]
        self._keys = _rounded(own[rank] for own, rank in zip(self.lengths, ranks, strict=True))
        for batch in super().__iter__():
            yield [pair * n + ranks[pair] for pair in batch]


class DenoisedBatches(EpochBatches):
    """Batches of `WithDenoised`: those of an epoch have their own variants.

    Args:
        n_extra: Variants per epoch; they are behind the pairs.
        others: Arguments of `EpochBatches`.
    """

    def __init__(self, n_extra: int, *others: Any) -> None:
        super().__init__(*others)
        self.n_extra = n_extra

    def __iter__(self) -> Iterator[list[int]]:
        first, step = len(self._keys) - self.n_extra, self.epoch * self.n_extra
        for batch in super().__iter__():
            yield [i + step if i >= first else i for i in batch]


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
        return _extended(self.examples[pair], self.near[pair][rank:], self.added.__getitem__)


def _extended(example: Example, near: Sequence[int], ids: Callable[[int], list[int]]) -> Example:
    """Return an example with the first of these neighbours in its source, if there is one."""
    return replace(example, src=[*example.src, *ids(near[0])]) if near else example


def _rounded(lengths: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
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


class PairDataModule(pl.LightningDataModule):
    """Data loaders of prepared data.

    Validation has two loaders: the validation split, and a fixed sample of the training split, to
    measure overfitting.

    Args:
        prepared: The data.
        max_tokens: Target tokens per training batch, with padding; half of it in evaluation, and a
            hypothesis per eight in generation, at most `HYPOTHESES`.
        max_pairs: Number of training pairs, the first ones; None for all.
        num_workers: Loader processes; 0 is fastest, because the data is on the device.
        seed: Seed of the order of training batches.
        max_src_len: Longest source of the model, in tokens with EOS.
        max_tgt_len: Longest target of the model, in tokens with EOS.
        neighbours: Added to sources, whose limit they do not count towards; None for none.
        denoising: Denoised programs per training pair and epoch; needs pieces of one vocabulary.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        max_tokens: int,
        max_pairs: int | None,
        num_workers: int,
        seed: int,
        max_src_len: int,
        max_tgt_len: int,
        neighbours: Neighbours | None = None,
        denoising: float = 0.0,
    ) -> None:
        super().__init__()
        self.prepared = prepared
        self.max_tokens, self.num_workers, self.seed = max_tokens, num_workers, seed
        self.neighbours = neighbours
        self._eval_split, self._n_hypotheses = "test", 1
        readable = {  # one position is for EOS
            name: [e for e in self._examples(name) if len(e.src) < max_src_len]
            for name in prepared.splits
        }
        self._readable = {name: self._with_nearest(name, own) for name, own in readable.items()}
        self.examples = {
            name: [e for e in examples if len(e.tgt) < max_tgt_len]
            for name, examples in self._readable.items()
        }
        self.examples["train"] = self.examples["train"][:max_pairs]
        self._denoised: WithDenoised | None = None
        if denoising:
            vocab = prepared.tgt_vocab
            marks = vocab.encode(unused_pieces())
            self._denoised = WithDenoised(
                self.examples["train"], denoising, marks, vocab, seed, max_src_len
            )
        self._resume: dict[str, Any] | None = None
        sample = torch.Generator().manual_seed(0)  # the same sample whatever the run's seed
        order = torch.randperm(len(self.examples["train"]), generator=sample)[:_SAMPLE].tolist()
        self.examples["train_sample"] = [self.examples["train"][i] for i in sorted(order)]

    def _examples(self, split: str) -> list[Example]:
        src_vocab, tgt_vocab = self.prepared.src_vocab, self.prepared.tgt_vocab
        return [
            Example(
                index=i,
                src=src_vocab.encode(item.src),
                tgt=tgt_vocab.encode(item.tgt),
                n_characters=len(item.pair.code),
                spelling_bits=spelling_bits(item.tgt, tgt_vocab),
            )
            for i, item in enumerate(self.prepared.splits[split])
        ]

    def _with_nearest(self, split: str, examples: list[Example]) -> list[Example]:
        """Add the nearest neighbour to each source."""
        near = self._near(split, examples)
        return [_extended(*row, self._ids) for row in zip(examples, near, strict=True)]

    def _near(self, split: str, examples: Sequence[Example]) -> list[Sequence[int]]:
        if self.neighbours is None:
            return [()] * len(examples)
        return self.neighbours.near([self.prepared.splits[split][e.index].pair for e in examples])

    def _ids(self, place: int) -> list[int]:
        """Return the ids that a neighbour adds to a source."""
        assert self.neighbours is not None
        return self.prepared.src_vocab.encode(self.neighbours.tokens(place))

    def for_evaluation(self, split: str, n_hypotheses: int = 1) -> "PairDataModule":
        """Return a copy that tests and predicts on a split, with hypotheses per source."""
        other = copy.copy(self)
        other._eval_split, other._n_hypotheses = split, n_hypotheses
        return other

    def sample(self, split: str, n: int) -> list[Pair]:
        """Return `n` pairs spread evenly over a split, always the same ones."""
        examples = self._readable[split]
        step = max(1, len(examples) // max(n, 1))
        return [self.prepared.splits[split][e.index].pair for e in examples[::step][:n]]

    def resume_from(self, checkpoint: dict[str, Any]) -> None:
        """Resume after the last batch of a checkpoint.

        Lightning restores its counters but not the position in the data, and loader processes
        prefetch before `set_epoch` is called, so the position is set here.
        """
        self._resume = checkpoint["loops"]["fit_loop"]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training batches, in the order of this seed and epoch."""
        data, batches = self._training_data()
        if batches.are_single_pairs:
            shortest = min(len(example.tgt) + 1 for example in self.examples["train"])
            log.warning(
                f"batch.max_tokens={self.max_tokens}: each batch has one pair, for the shortest "
                f"program has {shortest} tokens; raise it, for example batch.max_tokens=2048"
            )
        if self._resume is not None:  # the number of ranks is known only now
            # "processed", because "completed" is one behind while a callback saves.
            done = self._resume["epoch_loop.batch_progress"]["current"]["processed"]
            progress = self._resume["epoch_progress"]["current"]
            inside = progress["started"] > progress["processed"]  # no if max_steps ended the epoch
            batches.skip = done if inside and done < self._per_epoch(len(batches)) else 0
            batches.epoch = progress["processed" if batches.skip else "ready"]
            self._resume = None
        return self._loader_of(data, batches)

    def _training_data(self) -> tuple[Dataset[Batch], EpochBatches]:
        examples = self.examples["train"]
        settings = (self.max_tokens, self.seed, *self._rank_and_world())
        if self._denoised is not None:
            extra, lengths = len(self._denoised.extra), self._denoised.lengths()
            return self._denoised, DenoisedBatches(extra, lengths, *settings)
        if self.neighbours is None:
            return self._stored(examples), self._batches("train", self.seed)
        src, train = self.prepared.src_vocab.encode, self.prepared.splits["train"]
        alone = [replace(example, src=src(train[example.index].src)) for example in examples]
        added = [self._ids(place) for place in range(len(train))]
        near, k = self._near("train", examples), self.neighbours.k
        data = WithNeighbours(alone, near, added, k, self.prepared.tgt_vocab)
        return data, DrawnNeighbours(data.lengths(), self.neighbours.omit, *settings)

    def _per_epoch(self, n_batches: int) -> int:
        """Return the batches per epoch: all, or `trainer.limit_train_batches`."""
        limit = self.trainer.limit_train_batches if self.trainer is not None else 1.0
        return min(n_batches, limit) if isinstance(limit, int) else int(n_batches * limit)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return the validation split and the sample of the training split."""
        return [self._loader("val"), self._loader("train_sample")]

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the pairs of the evaluated split within the length limits of the model."""
        return self._loader(self._eval_split)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the pairs of the evaluated split with a source within the limit; no targets."""
        examples = [Example(e.index, e.src, ()) for e in self._readable[self._eval_split]]
        # So a batch has a hypothesis per eight of `max_tokens`.
        least, budget = 32 * self._n_hypotheses, 4 * min(self.max_tokens, 8 * HYPOTHESES)
        lengths = [(n := len(e.src) + 1, max(n, least)) for e in examples]
        sampler = EpochBatches(lengths, budget, None, *self._rank_and_world())
        return self._loader_of(self._stored(examples), sampler)

    def _rank_and_world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _device(self) -> torch.device | None:
        """Return the device of the ids: that of the model unless there are loader processes."""
        if self.trainer is None or self.num_workers:
            return None
        return self.trainer.strategy.root_device

    def _batches(self, split: str, seed: int | None = None) -> EpochBatches:
        lengths = [example.lengths for example in self.examples[split]]
        # Training computes its loss in chunks; evaluation needs all logits [N, V] of a batch.
        max_tokens = self.max_tokens if split == "train" else -(-self.max_tokens // 2)
        return EpochBatches(lengths, max_tokens, seed, *self._rank_and_world())

    def _loader(self, split: str) -> DataLoader[Batch]:
        return self._loader_of(self._stored(self.examples[split]), self._batches(split))

    def _stored(self, examples: Sequence[Example]) -> Store:
        return Store(examples, self.prepared.tgt_vocab, self._device())

    def _loader_of(self, data: Dataset[Batch], batches: EpochBatches) -> DataLoader[Batch]:
        return DataLoader(
            data,
            sampler=batches,
            batch_size=None,  # an item is a batch
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )
