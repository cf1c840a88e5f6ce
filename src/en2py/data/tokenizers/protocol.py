"""The interface of tokenizers, and base classes of those with rules and of those that learn."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Encoding


class Tokenizer(Protocol):
    """Splits text into tokens and joins them.

    `tokenize` raises on no text and `detokenize` on no list of tokens, because users type the texts
    and models generate the tokens.
    """

    def fit(self, texts: Iterable[str]) -> None:
        """Learn from the texts of the train split."""

    def tokenize(self, text: str) -> list[str]:
        """Split a text into tokens."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens to text."""

    def vocabulary(self) -> list[str] | None:
        """Return all tokens; None if they are those of the training split."""

    def state_dict(self) -> dict[str, Any]:
        """Return the learned state as plain containers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state from `state_dict`."""


class RuleTokenizer:
    """A tokenizer with fixed rules and without state."""

    def fit(self, texts: Iterable[str]) -> None:
        """Do nothing."""

    def vocabulary(self) -> None:
        """Return None: any token may occur."""

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept only an empty state."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state, but got {sorted(state)}")


class LearnedTokenizer:
    """A tokenizer whose state is an encoding of the `tokenizers` library."""

    _encoding: "Encoding | None" = None
    _key = "pieces"  # of the encoding in the state

    @property
    def encoding(self) -> "Encoding":
        """The learned encoding."""
        if self._encoding is None:
            raise ValueError(f"a {type(self).__name__} must be fitted or loaded before it is used")
        return self._encoding

    def state_dict(self) -> dict[str, Any]:
        """Return the learned encoding as JSON text, empty before `fit`."""
        return {} if self._encoding is None else {self._key: self._encoding.to_str()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state."""
        from tokenizers import Tokenizer as Encoding

        self._encoding = Encoding.from_str(state[self._key]) if state else None


def encodable(text: str) -> str:
    """Replace lone surrogates, which cannot be encoded as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
