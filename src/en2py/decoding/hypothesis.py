"""Types shared by all searches, and the mask of special tokens."""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from en2py.data.vocab import Vocab


@dataclass(frozen=True)
class Hypothesis:
    """What a search found.

    Attributes:
        ids: Target ids without BOS and EOS.
        score: Summed log-probability of the ids, and of EOS where it is finished, among the tokens
            that the search may write.
        finished: Whether EOS came within the length allowed.
    """

    ids: list[int]
    score: float
    finished: bool


class Model(Protocol):
    """What decoding asks of a model; see `en2py.models.transformer.Transformer`."""

    def start(self, src: Tensor, width: int = 1, max_len: int | None = None) -> Any:
        """Read the sources and return a cache, which has `select(rows)` and `reorder(parents)`."""

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """Map the newest token of each hypothesis to logits of the next."""


@runtime_checkable
class Engine(Protocol):
    """A search of its own, as `en2py.decoding.ctranslate2.Exported` has."""

    def search(
        self, src: Tensor, *, width: int, max_len: int, allow_unk: bool
    ) -> list[list[Hypothesis]]:
        """Return the `width` hypotheses per source that the search ends with, in any order."""


def _allowed(logits: Tensor, vocab: Vocab, allow_unk: bool) -> Tensor:
    """Hide what no program holds from logits `[R, V]`."""
    hidden = [vocab.pad_id, vocab.bos_id] + ([] if allow_unk else [vocab.unk_id])
    logits = logits.float()
    logits[:, hidden] = -math.inf
    return logits
