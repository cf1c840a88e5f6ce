"""The one shape of all tokenizers, and the half of it that learns nothing."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """Text to tokens and back.

    No text and no list of tokens makes `tokenize` or `detokenize` raise: people type the one,
    models write the other.
    """

    def fit(self, texts: Iterable[str]) -> None:
        """Learn from the texts of the train split."""

    def tokenize(self, text: str) -> list[str]:
        """Cut a text into tokens."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Write tokens as text."""

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned, as plain containers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


class RuleTokenizer:
    """A tokenizer whose rules are fixed: nothing to learn, nothing to keep."""

    def fit(self, texts: Iterable[str]) -> None:
        """Do nothing; the rules are fixed."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing; the rules are code."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept only the nothing that `state_dict` returned."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but was given {sorted(state)}")


def encodable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 and so the compiled tokenizers refuse."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
