"""Python code to tokens by spaCy: with rules of ours, and as its English rules cut it."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from en2py.data.tokenizers.protocol import RuleTokenizer, encodable

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokenizer import Tokenizer as SpacyTokenizer
    from spacy.tokens import Doc, Token

# spaCy cuts at white space; of what lies between, these peel off one lexeme after the other.
_LEXEME = re.compile(
    r"""
      0[xXoObB][\da-fA-F_]+
    | (?: \d[\d_]*(?:\.[\d_]*)? | \.\d[\d_]* ) (?: [eE][+-]?\d[\d_]* )? [jJ]?
    | \w+
    | \*\*= | //= | >>= | <<= | \.\.\.
    | [-+*/%&|^@<>=!:]= | -> | \*\* | // | << | >>
    | [^\w\s]
    """,
    re.VERBOSE,
)
# Comments are matched so that no quote inside one opens a string; they are not kept whole.
_COMMENT_OR_STRING = re.compile(
    r"""
      \#[^\n]*
    | (?P<string> (?<!\w) (?i: [rbuft]{1,2} )? (?:
        \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3}
      | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' ))
    """,
    re.VERBOSE | re.DOTALL,
)


# spaCy's time grows with the square of a word's length and worse: 5,000 `#` take eight seconds.
_LONG_WORD = re.compile(r"\S{200}(?=\S)")


def words(tokenizer: "Callable[[str], Doc]", text: str) -> "Iterator[tuple[int, Token]]":
    """Yield spaCy's tokens of a text, each with its place in it; overlong words come in parts."""
    start = 0
    for end in [*(match.end() for match in _LONG_WORD.finditer(text)), len(text)]:
        for word in tokenizer(text[start:end]):
            yield start + word.idx, word
        start = end


class SpacyPythonTokenizer(RuleTokenizer):
    """Code by spaCy's `Tokenizer` with rules for Python; every text comes back exactly.

    Operators and string literals are whole, brackets stand alone, a line break and the indent after
    it are one token. A space after a token is part of it, as in spaCy's `token.text_with_ws`.
    """

    def tokenize(self, text: str) -> list[str]:
        """Cut code into tokens."""
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
        """Join tokens, which hold their spaces."""
        return "".join(tokens)


class SpacyDefaultTokenizer(RuleTokenizer):
    """Code by spaCy's rules for English, joined by spaces.

    Only to repeat the documented experiments, which did so: few programs come back as they were
    (about one in five keeps its syntax tree).
    """

    def tokenize(self, text: str) -> list[str]:
        """Cut code as if it were English."""
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
def _english() -> "Language":
    import spacy

    return spacy.blank("en")
