"""Data loaders of prepared data: training, validation, test and generation."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from en2py.data.batch import Batch, Example, Store
from en2py.data.denoising import SHORTEST, DenoisedBatches, WithDenoised
from en2py.data.drawn_neighbours import DrawnNeighbours, WithNeighbours
from en2py.data.epoch_batches import EpochBatches
from en2py.data.neighbours import Neighbours
from en2py.data.pairs import Pair, evenly_spaced
from en2py.data.prepare import Prepared
from en2py.data.tokenizers.pieces import unused_pieces
from en2py.data.vocab import spelling_bits

log = logging.getLogger(__name__)

HYPOTHESES = 256  # most of a decoding batch: fewer need more steps in all, more gain little
_TOKENS_PER_HYPOTHESIS = 8  # of `max_tokens`, in a decoding batch
_SOURCE_TOKENS = 4  # of a decoding batch per token of `max_tokens`: it has no gradients
_SAMPLE = 150  # pairs of the training sample, about 8,000 tokens


class PairDataModule(pl.LightningDataModule):
    """Data loaders of prepared data.

    Validation has two loaders: the validation split, and a fixed sample of the training pairs of
    its source, to measure overfitting.

    Args:
        prepared: The data.
        max_tokens: Target tokens per training batch, with padding; half of it in evaluation. In
            generation a batch has a hypothesis per eight of them, at most `HYPOTHESES`, and at most
            four times as many source tokens.
        max_pairs: Number of training pairs, the first ones; None for all.
        num_workers: Loader processes; 0 is fastest, because the data are in memory.
        seed: Seed of the order of training batches.
        max_src_len: Longest source of the model, in tokens with EOS.
        max_tgt_len: Longest target of the model, in tokens with EOS.
        neighbours: Added to sources, whose limit they do not count toward; None for none.
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
        self._readable = {
            name: self._with_nearest(name, examples) for name, examples in readable.items()
        }
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
            if not self._denoised.extra:
                log.warning(
                    f"batch.denoising={denoising:g}: no program is denoised; this needs programs "
                    f"of {SHORTEST} pieces or more, and more than {0.5 / denoising:.0f} pairs"
                )
        self._resume: dict[str, Any] | None = None
        comparable = self._of_validated_sources(self.examples["train"])
        sample = torch.Generator().manual_seed(0)  # the same sample whatever the run's seed
        order = torch.randperm(len(comparable), generator=sample)[:_SAMPLE].tolist()
        self.examples["train_sample"] = [comparable[i] for i in sorted(order)]

    def _of_validated_sources(self, examples: list[Example]) -> list[Example]:
        """Return the training examples of the source that validation pairs are from, else all.

        The other sources of a mixture are other tasks, and their losses no sign of overfitting.
        """
        splits = self.prepared.splits
        sources = {item.pair.source for item in splits.get("val", ())}
        return [e for e in examples if splits["train"][e.index].pair.source in sources] or examples

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
        return [
            replace(example, src=[*example.src, *self._ids(near[0])]) if near else example
            for example, near in zip(examples, self._near(split, examples), strict=True)
        ]

    def _near(self, split: str, examples: Sequence[Example]) -> list[Sequence[int]]:
        if self.neighbours is None:
            return [()] * len(examples)
        pairs = [self.prepared.splits[split][e.index].pair for e in examples]
        if split == "train":
            return self.neighbours.near(pairs)
        # As for a description without a pair, also if it is one of a training pair.
        return [[place] for place in self.neighbours.nearest([p.description for p in pairs])]

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
        """Return up to `n` pairs spread evenly over a split, always the same ones."""
        examples, items = self._readable[split], self.prepared.splits[split]
        return [items[examples[i].index].pair for i in evenly_spaced(len(examples), n)]

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
            batches.skip = done if inside and done < self._n_read(len(batches), "train") else 0
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
            return self._stored(examples), EpochBatches([e.lengths for e in examples], *settings)
        src, train = self.prepared.src_vocab.encode, self.prepared.splits["train"]
        alone = [replace(example, src=src(train[example.index].src)) for example in examples]
        added = [self._ids(place) for place in range(len(train))]
        near, k = self._near("train", examples), self.neighbours.k
        data = WithNeighbours(alone, near, added, k, self.prepared.tgt_vocab)
        return data, DrawnNeighbours(data.lengths(), self.neighbours.omit, *settings)

    def _n_read(self, n_batches: int, stage: str) -> int:
        """Return how many batches are read: all, or `trainer.limit_train_batches` (or `_val_`)."""
        limit = 1.0 if self.trainer is None else getattr(self.trainer, f"limit_{stage}_batches")
        return min(n_batches, limit) if isinstance(limit, int) else int(n_batches * limit)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return the validation split and the sample of the training split.

        `trainer.limit_val_batches` reads batches of all lengths.
        """
        loaders = [self._loader("val"), self._loader("train_sample")]
        for loader in loaders:
            batches: Any = loader.sampler
            batches.n_read = self._n_read(len(batches), "val")
        return loaders

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the pairs of the evaluated split within the length limits of the model."""
        return self._loader(self._eval_split)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the pairs of the evaluated split with a source within the limit; no targets."""
        examples = [Example(e.index, e.src, ()) for e in self._readable[self._eval_split]]
        # A batch is limited in its hypotheses, whose number grows with `max_tokens` up to
        # `HYPOTHESES`, and in its source tokens, with padding. A source counts as its tokens or as
        # those of its hypotheses, whichever are more.
        max_tokens = min(self.max_tokens, _TOKENS_PER_HYPOTHESIS * HYPOTHESES)
        least = _SOURCE_TOKENS * _TOKENS_PER_HYPOTHESIS * self._n_hypotheses
        lengths = [(n := len(e.src) + 1, max(n, least)) for e in examples]
        budget = _SOURCE_TOKENS * max_tokens
        sampler = EpochBatches(lengths, budget, None, *self._rank_and_world())
        return self._loader_of(self._stored(examples), sampler)

    def _rank_and_world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _device(self) -> torch.device | None:
        """Return the device of the ids: that of the model unless there are loader processes."""
        if self.trainer is None or self.num_workers:
            return None
        return self.trainer.strategy.root_device

    def _loader(self, split: str) -> DataLoader[Batch]:
        """Return the examples of a split in the order of their length, for evaluation."""
        examples = self.examples[split]
        lengths = [example.lengths for example in examples]
        # Training computes its loss in chunks; evaluation needs all logits [N, V] of a batch.
        batches = EpochBatches(lengths, -(-self.max_tokens // 2), None, *self._rank_and_world())
        return self._loader_of(self._stored(examples), batches)

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
