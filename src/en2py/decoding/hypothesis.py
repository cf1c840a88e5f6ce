"""Types shared by all searches."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A program found by a search.

    Attributes:
        ids: Target ids without BOS and EOS.
        score: Sum of the log-probabilities of the ids, and of EOS if finished, among the tokens
            that the search may generate.
        finished: Whether EOS was generated within the maximum length.
    """

    ids: list[int]
    score: float
    finished: bool


class Model(Protocol):
    """A model that computes logits token by token; see `models.incremental.IncrementalDecoder`."""

    def start(self, src: Tensor, width: int = 1, max_len: int | None = None) -> Any:
        """Encode sources `[B, S]`; return a cache with `select(rows)` and `reorder(parents)`."""

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """Map the newest token of each hypothesis, `[B * W]`, to logits of its next, `[B * W, V]`.

        Sources that `cache.select` dropped have no rows.
        """


def hypotheses_per_source(search: Any) -> int:
    """Return how many hypotheses of a source a search extends at once."""
    searches = getattr(search, "searches", [search])  # those of `Votes`
    settings: list[dict[str, int]] = [getattr(part, "keywords", {}) for part in searches]
    return max(
        keywords.get(name, 1) for keywords in settings for name in ("beam_size", "n_samples")
    )


@runtime_checkable
class Engine(Protocol):
    """An external search, for example `en2py.decoding.ctranslate2.Exported`."""

    def search(
        self, src: Tensor, *, width: int, max_len: int, allow_unk: bool
    ) -> list[list[Hypothesis]]:
        """Return hypotheses per source, in any order.

        Args:
            src: Source ids, `[B, S]`.
            width: Hypotheses per source; 1 is greedy search.
            max_len: Most steps, in tokens with EOS.
            allow_unk: Whether `<unk>` may be generated.
        """
