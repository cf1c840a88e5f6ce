"""Denoise code: write the spans that marks replace (T5; Raffel et al., 2020, section 3.1.4)."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Dataset

from en2py.data.batch import Batch, Example, collate
from en2py.data.epoch_batches import EpochBatches
from en2py.data.vocab import Vocab

NOISE = 0.15  # share of the tokens
SPAN = 3  # mean tokens of a span
SHORTEST = 10  # tokens of a program


def denoised(
    ids: Sequence[int], marks: Sequence[int], rng: random.Random
) -> tuple[list[int], list[int]]:
    """Replace random spans by marks; their number and total length depend on the length alone.

    Args:
        ids: A program of at least `SHORTEST` tokens.
        marks: Ids that no program contains.
        rng: Draws the spans.

    Returns:
        The program with a mark in place of each span, and the spans, each behind its mark.
    """
    n_noise, n_spans = noise_size(len(ids), len(marks))
    kept, noise = _segments(len(ids) - n_noise, n_spans, rng), _segments(n_noise, n_spans, rng)
    src, tgt, at = [], [], 0
    for mark, n_kept, n_hidden in zip(marks, kept, noise, strict=False):
        src += [*ids[at : at + n_kept], mark]
        tgt += [mark, *ids[at + n_kept : at + n_kept + n_hidden]]
        at += n_kept + n_hidden
    return src, tgt


def noise_size(length: int, n_marks: int) -> tuple[int, int]:
    """Return the number of hidden tokens and of spans in a program of some length."""
    n_noise = round(NOISE * length)
    return n_noise, min(max(1, round(n_noise / SPAN)), n_marks)


def _segments(n: int, k: int, rng: random.Random) -> list[int]:
    """Cut `n` tokens into `k` parts at random; return their lengths."""
    cuts = [0, *sorted(rng.sample(range(1, n), k - 1)), n]
    return [b - a for a, b in zip(cuts, cuts[1:], strict=False)]


class WithDenoised(Dataset[Batch]):
    """Pairs, and behind them denoised variants of their programs, without end.

    An item is a batch, indexed by positions. Variants `k`, `k + n_extra`, `k + 2 n_extra` ... are
    of one program and have equal lengths, so each epoch has its own.

    Args:
        examples: The pairs.
        weight: Variants per pair and epoch.
        marks: Ids that no program contains.
        vocab: Has the special ids.
        seed: Of the spans.
        max_src_len: Longest source of the model with EOS; of longer programs a random part is
            taken.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        weight: float,
        marks: Sequence[int],
        vocab: Vocab,
        seed: int,
        max_src_len: int,
    ) -> None:
        self.examples, self.marks, self.vocab, self.seed = examples, marks, vocab, seed
        self.longest = max_src_len - 1
        while self._source(self.longest) >= max_src_len:  # with the marks and EOS
            self.longest -= 1
        while self._source(self.longest + 1) < max_src_len:
            self.longest += 1
        fit = [example for example in examples if len(example.tgt) >= SHORTEST]
        n_extra = round(weight * len(examples)) if fit else 0
        self.extra = [fit[k * len(fit) // n_extra] for k in range(n_extra)]

    def _source(self, length: int) -> int:
        n_noise, n_spans = noise_size(length, len(self.marks))
        return length - n_noise + n_spans

    def lengths(self) -> list[tuple[int, int]]:
        """Return (source, target) lengths with EOS; of variants the source counts for both."""
        plain = [example.lengths for example in self.examples]
        sources = (self._source(min(len(e.tgt), self.longest)) + 1 for e in self.extra)
        return [*plain, *((length, length) for length in sources)]

    def __len__(self) -> int:
        return len(self.examples) + len(self.extra)

    def __getitem__(self, positions: list[int]) -> Batch:
        return collate([self._example(position) for position in positions], self.vocab)

    def _example(self, position: int) -> Example:
        variant = position - len(self.examples)
        if variant < 0:
            return self.examples[position]
        example = self.extra[variant % len(self.extra)]
        rng = random.Random(f"{self.seed} {variant}")
        start = rng.randint(0, max(0, len(example.tgt) - self.longest))
        src, tgt = denoised(example.tgt[start : start + self.longest], self.marks, rng)
        return Example(example.index, src, tgt)


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
