"""Pad ids to tensors and shift the targets.

Shape letters: B batch, S source length, T target length (with EOS).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor
from torch.utils.data import Dataset

from en2py.data.vocab import Vocab


@dataclass(frozen=True)
class Example:
    """One pair as ids, without BOS and EOS.

    Attributes:
        index: Position in its split.
        src: Source ids.
        tgt: Target ids.
        n_characters: Length of the program as text, for bits per character.
        spelling_bits: Cost in bits of the target tokens that are not in the vocabulary.
    """

    index: int
    src: Sequence[int]
    tgt: Sequence[int]
    n_characters: int = 0
    spelling_bits: int = 0

    @property
    def lengths(self) -> tuple[int, int]:
        """Return the lengths of source and target with EOS."""
        return len(self.src) + 1, len(self.tgt) + 1


@dataclass(frozen=True)
class Batch:
    """Padded ids.

    Attributes:
        indices: Position of each pair in its split, `[B]`.
        src: Source ids, EOS at the end, `[B, S]`.
        tgt: Target ids, BOS in front and EOS at the end, `[B, T + 1]`.
        src_lengths: Tokens of each source with EOS, without padding, `[B]`; in host memory, which
            avoids a device synchronization.
        tgt_lengths: Tokens of each target with EOS, without BOS and padding, `[B]`; in host memory.
        pad_id: Id of padding.
        n_tokens: Target tokens of all pairs with EOS, without BOS and padding.
        n_characters: Characters of all programs.
        spelling_bits: Cost in bits of all unknown target tokens.
    """

    indices: Tensor
    src: Tensor
    tgt: Tensor
    src_lengths: Tensor
    tgt_lengths: Tensor
    pad_id: int
    n_tokens: int
    n_characters: int
    spelling_bits: int

    @property
    def tgt_in(self) -> Tensor:
        """Input of the decoder, `[B, T]`."""
        return self.tgt[:, :-1]

    @property
    def tgt_out(self) -> Tensor:
        """Expected output of the decoder, `[B, T]`."""
        return self.tgt[:, 1:]

    @property
    def tgt_mask(self) -> Tensor:
        """True at target tokens with EOS, False at padding, `[B, T]`."""
        return self.tgt_out != self.pad_id

    @property
    def src_places(self) -> Tensor:
        """Positions of the tokens (no padding) in the flattened `src`, `[M]`."""
        return _positions(self.src != self.pad_id, self.src_lengths)

    @property
    def tgt_places(self) -> Tensor:
        """Positions of the tokens (no padding) in the flattened `tgt_out`, `[N]`."""
        return _positions(self.tgt_mask, self.tgt_lengths)

    @property
    def targets(self) -> Tensor:
        """Target ids of all pairs with EOS, without padding, `[N]`."""
        return self.tgt_out.flatten()[self.tgt_places]

    def to(self, device: torch.device, non_blocking: bool = True) -> "Batch":
        """Return the batch on a device; Lightning calls this."""
        return replace(
            self,
            indices=self.indices.to(device, non_blocking=non_blocking),
            src=self.src.to(device, non_blocking=non_blocking),
            tgt=self.tgt.to(device, non_blocking=non_blocking),
        )


def _positions(mask: Tensor, lengths: Tensor) -> Tensor:
    return torch.nonzero_static(mask.flatten(), size=int(lengths.sum())).squeeze(1)


class Store(Dataset[Batch]):
    """Examples as flat tensors; an item is a batch, gathered by the positions of its examples.

    Args:
        examples: The examples.
        vocab: Has the special ids, which are those of both sides.
        device: Device of the ids and of the batches.
    """

    def __init__(
        self, examples: Sequence[Example], vocab: Vocab, device: torch.device | None = None
    ) -> None:
        eos, bos = [vocab.eos_id], [vocab.bos_id]
        self.pad_id, self.device = vocab.pad_id, device or torch.device("cpu")
        self.src = _Side([[*example.src, *eos] for example in examples], self.device)
        self.tgt = _Side([[*bos, *example.tgt, *eos] for example in examples], self.device)
        facts = [(e.index, e.n_characters, e.spelling_bits) for e in examples]
        self.facts = torch.tensor(facts).view(-1, 3)

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        rows = torch.tensor(positions)
        facts, tgt_lengths = self.facts[rows], self.tgt.lengths[rows] - 1
        _, n_characters, spelling_bits = facts.sum(0).tolist()
        return Batch(
            indices=facts[:, 0].to(self.device, non_blocking=True),
            src=self.src.rows(rows, self.pad_id),
            tgt=self.tgt.rows(rows, self.pad_id),
            src_lengths=self.src.lengths[rows],
            tgt_lengths=tgt_lengths,
            pad_id=self.pad_id,
            n_tokens=int(tgt_lengths.sum()),
            n_characters=n_characters,
            spelling_bits=spelling_bits,
        )


class _Side:
    """Rows of ids in one flat tensor."""

    def __init__(self, rows: Sequence[Sequence[int]], device: torch.device) -> None:
        self.lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.ids = torch.tensor(list(chain.from_iterable(rows)), dtype=torch.int32, device=device)

    def rows(self, positions: Tensor, pad_id: int) -> Tensor:
        """Return the rows at these positions, padded, `[B, width]`."""
        lengths = self.lengths[positions]
        columns = torch.arange(int(lengths.max()))
        # Two small asynchronous copies from host to device.
        flat = (self.starts[positions, None] + columns).clamp_(max=len(self.ids) - 1)
        real = (columns < lengths[:, None]).to(self.ids.device, non_blocking=True)
        ids = self.ids[flat.to(self.ids.device, non_blocking=True)]
        return torch.where(real, ids, pad_id).long()


def collate(examples: Sequence[Example], vocab: Vocab) -> Batch:
    """Pad examples to one batch; both sides have the special ids of `vocab`."""
    return Store(examples, vocab)[range(len(examples))]
