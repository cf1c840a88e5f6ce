"""Tokenize English descriptions by spaCy's blank English and rules for the code in them."""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from en2py.data.tokenizers.protocol import Tokenizer, encodable
from en2py.data.tokenizers.spacy import words

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

# Additional boundaries inside words, because descriptions contain `f(x,y)`, `[1,2,3]` and `x=5`.
# Operators such as `**` and `==` stay whole.
_SEPARATE = r"[()\[\]{},;:\"`]"
_OPERATOR = r"[=<>!+*/%^|&~]"
_INFIXES = [
    rf"(?={_SEPARATE})",
    rf"(?<={_SEPARATE})",
    rf"(?<!{_OPERATOR})(?={_OPERATOR})",
    rf"(?<={_OPERATOR})(?!{_OPERATOR})",
    r"(?<=\d)(?=-\d)|(?<=\d-)(?=\d)|(?<=\W-)(?=\d)",
    r"(?<=\W')(?=\w)|(?<=\w)(?='\W)",  # a quote, but not the apostrophe of `it's`
]
# The sign of -5 is a token, as in code.
_PREFIXES = [rf"{_OPERATOR}+", r"-(?=\d)"]
_SUFFIXES = [rf"{_OPERATOR}+"]
_CONTRACTION = re.compile(r"[A-Za-z'’.]+")
_QUOTED = re.compile(r"\"[^\"\n]*\"|`[^`\n]*`|(?<!\w)'[^'\n]*'(?!\w)")
_QUOTES_OPEN = re.compile(r"(?<!\S)(['\"`]) (.*?) \1(?!\S)")
_CLOSES_UP = re.compile(r" (?=[.,;:?!)\]}](?: |$)|(?:n't|'(?:s|d|m|ll|re|ve))(?: |$))|(?<=[(\[{]) ")


class EnglishTokenizer(Tokenizer):
    """Words, numbers, punctuation and operators of a description.

    Args:
        lowercase: Lowercase all but quoted strings, which the program repeats.
    """

    def __init__(self, lowercase: bool) -> None:
        self.lowercase = lowercase

    def tokenize(self, text: str) -> list[str]:
        """Split a description into tokens; white space is dropped."""
        text = encodable(text)
        found = [(i, word.text) for i, word in words(_english(), text) if not word.is_space]
        if not self.lowercase:
            return [word for _, word in found]
        quoted = {i for match in _QUOTED.finditer(text) for i in range(*match.span())}
        return [word if i in quoted else word.lower() for i, word in found]

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens to a readable line; the original spaces are unknown."""
        return _CLOSES_UP.sub("", _QUOTES_OPEN.sub(r"\1\2\1", " ".join(tokens)))


@cache
def _english() -> "SpacyTokenizer":
    """Build spaCy's English tokenizer with additional rules, once."""
    import spacy
    from spacy.tokenizer import Tokenizer as SpacyTokenizer
    from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

    nlp = spacy.blank("en")
    rules = nlp.Defaults
    exceptions = rules.tokenizer_exceptions or {}
    return SpacyTokenizer(
        nlp.vocab,
        # Contractions and abbreviations, but no smileys: `:1` is code.
        rules={text: cut for text, cut in exceptions.items() if _CONTRACTION.fullmatch(text)},
        prefix_search=compile_prefix_regex([*_PREFIXES, *(rules.prefixes or [])]).search,
        suffix_search=compile_suffix_regex([*_SUFFIXES, *(rules.suffixes or [])]).search,
        infix_finditer=compile_infix_regex([*_INFIXES, *(rules.infixes or [])]).finditer,
    )
