"""Token vectors by vocabulary row, and who stands near whom.

Shape letters: V vocabulary, W width of a vector.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from en2py.data.vocab import SPECIAL_TOKENS, Vocab

Side = Literal["src", "tgt"]


@dataclass(frozen=True)
class Vectors:
    """What the token tables start from; None where a side starts from the model's own numbers.

    Attributes:
        src: One row per English token, `[V, W]`.
        tgt: One row per Python token, `[V, W]`; its V and W may be others.
        src_found: True where the row is a learned vector and not a random one, `[V]`.
        tgt_found: The same for Python tokens.
    """

    src: Tensor | None = None
    tgt: Tensor | None = None
    src_found: Tensor | None = None
    tgt_found: Tensor | None = None

    @property
    def coverage(self) -> dict[str, float]:
        """The share of each vocabulary that got a vector, special tokens aside."""
        sides = {"src": self.src_found, "tgt": self.tgt_found}
        return {
            side: float(found[len(SPECIAL_TOKENS) :].float().mean())
            for side, found in sides.items()
            if found is not None and len(found) > len(SPECIAL_TOKENS)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for the cache; the numbers bit for bit, as text."""
        return {field.name: _packed(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Vectors":
        """Undo `to_dict`."""
        return cls(**{name: _unpacked(packed) for name, packed in record.items()})


def _packed(tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    kind = "<f4" if tensor.is_floating_point() else "|b1"
    data = np.ascontiguousarray(tensor.numpy(), dtype=kind).tobytes()
    return {"shape": list(tensor.shape), "kind": kind, "data": base64.b64encode(data).decode()}


def _unpacked(record: Mapping[str, Any] | None) -> Tensor | None:
    if record is None:
        return None
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=record["kind"])
    return torch.tensor(flat.astype(flat.dtype.newbyteorder("="))).reshape(record["shape"])


def table(words: Mapping[str, Any], vocab: Vocab, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Arrange vectors by vocabulary id.

    Args:
        words: Vectors by token, each a row of `width` numbers.
        vocab: Gives the order.
        width: Numbers per vector.
        seed: For the rows of special tokens and of tokens without a vector, which are drawn from a
            normal distribution as wide as the vectors that are there.

    Returns:
        The rows `[V, W]` and whether each is a vector of its token `[V]`.
    """
    found = torch.tensor([t in words and t not in SPECIAL_TOKENS for t in vocab.tokens])
    rows = torch.randn(len(vocab), width, generator=torch.Generator().manual_seed(seed))
    if found.any():
        known = [t for t, is_found in zip(vocab.tokens, found.tolist(), strict=True) if is_found]
        vectors = torch.stack([torch.tensor(words[t], dtype=torch.float32) for t in known])
        rows *= vectors.std(correction=0)
        rows[found] = vectors
    else:
        rows *= width**-0.5
    return rows, found


def nearest(
    vectors: Vectors, src_vocab: Vocab, tgt_vocab: Vocab, word: str, side: Side, k: int
) -> list[tuple[Side, str, float]]:
    """Return the tokens nearest to a token by cosine, from both sides where they share a space.

    Only `joint` vectors of the two sides can be compared; otherwise keep to the neighbours of the
    word's own side.

    Args:
        vectors: Vectors of one or both sides.
        src_vocab: The English tokens.
        tgt_vocab: The Python tokens.
        word: A token of the vocabulary of `side`.
        side: Where the word stands.
        k: Number of neighbours.

    Returns:
        (side, token, cosine), the nearest first; the word itself, on its own side, is left out.

    Raises:
        ValueError: If the word has no vector.
    """
    sides: list[tuple[Side, Vocab, Tensor | None, Tensor | None]] = [
        ("src", src_vocab, vectors.src, vectors.src_found),
        ("tgt", tgt_vocab, vectors.tgt, vectors.tgt_found),
    ]
    query: Tensor | None = None
    for name, vocab, rows, found in sides:
        if name == side and rows is not None and found is not None and word in vocab:
            row = vocab.encode([word])[0]
            query = rows[row] if found[row] else None
    if query is None:
        raise ValueError(f"{word!r} has no vector on the {side} side")
    neighbours: list[tuple[Side, str, float]] = []
    for name, vocab, rows, found in sides:
        if rows is None or found is None or rows.shape[1] != len(query):
            continue
        cosines = torch.cosine_similarity(rows, query[None], dim=1)  # [V]
        neighbours += [
            (name, vocab.tokens[i], float(cosines[i]))
            for i in found.nonzero().flatten().tolist()
            if (name, vocab.tokens[i]) != (side, word)
        ]
    return sorted(neighbours, key=lambda n: (-n[2], n[0], n[1]))[:k]
