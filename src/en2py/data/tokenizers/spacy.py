"""Tokenize Python code by spaCy, with rules for Python or with its English rules."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from en2py.data.tokenizers.protocol import Tokenizer, encodable
from en2py.data.tokenizers.python import NUMBER_OR_NAME, OPERATOR, QUOTED

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer as SpacyTokenizer
    from spacy.tokens import Doc, Token

# The prefixes that spaCy splits from a word between white space, one after the other.
_LEXEME = re.compile(rf"{NUMBER_OR_NAME} | {OPERATOR} | [^\w\s]", re.VERBOSE)
# Comments are matched only because a quote in a comment opens no string.
_COMMENT_OR_STRING = re.compile(
    rf"\#[^\n]* | (?P<string> (?<!\w) (?i: [rbuft]{{1,2}} )? {QUOTED} )",
    re.VERBOSE | re.DOTALL,
)

# spaCy's time is at least quadratic in the length of a word: 5,000 `#` take eight seconds.
_LONG_WORD = re.compile(r"\S{200}(?=\S)")


def words(tokenizer: "Callable[[str], Doc]", text: str) -> "Iterator[tuple[int, Token]]":
    """Yield spaCy's tokens of a text with their positions; long words are split into parts."""
    start = 0
    for end in [*(match.end() for match in _LONG_WORD.finditer(text)), len(text)]:
        for word in tokenizer(text[start:end]):
            yield start + word.idx, word
        start = end


class SpacyPythonTokenizer(Tokenizer):
    """Tokens by spaCy with rules for Python; detokenizing returns every text exactly.

    Operators, string literals and brackets are tokens; a line break with the indent after it is one
    token. A space after a token is part of it, as in spaCy's `token.text_with_ws`.
    """

    def tokenize(self, text: str) -> list[str]:
        """Split code into tokens."""
        text = encodable(text)
        strings = [m.span() for m in _COMMENT_OR_STRING.finditer(text) if m["string"]]
        tokens: list[str] = []
        end = 0  # of the string that the last token opened
        strings.reverse()
        for start, word in words(_python(), text):
            if start < end:
                tokens[-1] += word.text_with_ws
                continue
            if strings and strings[-1][0] == start:
                end = strings.pop()[1]
            tokens.append(word.text_with_ws)
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens, which include their spaces."""
        return "".join(tokens)


class SpacyDefaultTokenizer(Tokenizer):
    """Tokens by spaCy's rules for English, joined by spaces.

    Only to reproduce the documented experiments: about one in five programs keeps its syntax tree.
    """

    def tokenize(self, text: str) -> list[str]:
        """Split code as if it were English."""
        return [word.text for _, word in words(_english(), encodable(text))]

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens by spaces."""
        return " ".join(tokens)


@cache
def _python() -> "SpacyTokenizer":
    from spacy.tokenizer import Tokenizer as SpacyTokenizer
    from spacy.vocab import Vocab

    return SpacyTokenizer(Vocab(), rules={}, prefix_search=_LEXEME.match)


@cache
def _english() -> "Callable[[str], Doc]":
    import spacy

    tokenizer: Callable[[str], Doc] = spacy.blank("en").tokenizer  # without a limit of the length
    return tokenizer
