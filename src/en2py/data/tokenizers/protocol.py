"""The interface of tokenizers, and a base class of those that learn."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Encoding


class Tokenizer(Protocol):
    """Splits text into tokens and joins them; without a state unless a subclass has one.

    `tokenize` raises on no text and `detokenize` on no list of tokens, because users type the texts
    and models generate the tokens.
    """

    def fit(self, texts: Iterable[str]) -> None:
        """Learn from the texts of the train split; fixed rules learn nothing."""
        return

    def tokenize(self, text: str) -> list[str]:
        """Split a text into tokens."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens to text."""

    def vocabulary(self) -> list[str] | None:
        """Return all tokens; None if they are those of the training split."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the learned state as plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state from `state_dict`."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state, but got {sorted(state)}")


class LearnedTokenizer(Tokenizer):
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
