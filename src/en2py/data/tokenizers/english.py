"""English task descriptions to tokens, by spaCy's blank English and rules for code in them."""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from en2py.data.tokenizers.protocol import RuleTokenizer, encodable
from en2py.data.tokenizers.spacy import words

if TYPE_CHECKING:
    from spacy.language import Language

# Where a word is cut beyond spaCy's own rules, as places between two letters: descriptions hold
# `f(x,y)`, `[1,2,3]` and `x=5`. Runs of operator letters stay whole, so `**` and `==` do.
_APART = r"[()\[\]{},;:\"`]"
_OPERATOR = r"[=<>!+*/%^|&~]"
_CUTS = [
    rf"(?={_APART})",
    rf"(?<={_APART})",
    rf"(?<!{_OPERATOR})(?={_OPERATOR})",
    rf"(?<={_OPERATOR})(?!{_OPERATOR})",
    r"(?<=\d)(?=-\d)|(?<=\d-)(?=\d)|(?<=\W-)(?=\d)",
    r"(?<=\W')(?=\w)|(?<=\w)(?='\W)",  # a quote, but not the apostrophe of `it's`
]
# Code has the sign of -5 as a token of its own.
_PREFIXES = [rf"{_OPERATOR}+", r"-(?=\d)"]
_SUFFIXES = [rf"{_OPERATOR}+"]
_CONTRACTION = re.compile(r"[A-Za-z'’.]+")
_QUOTED = re.compile(r"\"[^\"\n]*\"|`[^`\n]*`|(?<!\w)'[^'\n]*'(?!\w)")
_QUOTES_OPEN = re.compile(r"(?<!\S)(['\"`]) (.*?) \1(?!\S)")
_CLOSES_UP = re.compile(r" (?=[.,;:?!)\]}](?: |$)|(?:n't|'(?:s|d|m|ll|re|ve))(?: |$))|(?<=[(\[{]) ")


class EnglishTokenizer(RuleTokenizer):
    """Words, numbers, punctuation and operators of a description.

    Args:
        lowercase: Lower the case of all but quoted strings, which the program has to repeat.
    """

    def __init__(self, lowercase: bool) -> None:
        self.lowercase = lowercase

    def tokenize(self, text: str) -> list[str]:
        """Cut a description into tokens; white space is none."""
        text = encodable(text)
        found = [(i, word.text) for i, word in words(_english(), text) if not word.is_space]
        if not self.lowercase:
            return [word for _, word in found]
        quoted = {i for match in _QUOTED.finditer(text) for i in range(*match.span())}
        return [word if i in quoted else word.lower() for i, word in found]

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Write tokens as a readable line; the spaces of the original are not known any more."""
        return _CLOSES_UP.sub("", _QUOTES_OPEN.sub(r"\1\2\1", " ".join(tokens)))


@cache
def _english() -> "Language":
    """Make spaCy's blank English pipeline with our cuts, once."""
    import spacy
    from spacy.tokenizer import Tokenizer
    from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

    nlp = spacy.blank("en")
    rules = nlp.Defaults
    exceptions = rules.tokenizer_exceptions or {}
    nlp.tokenizer = Tokenizer(
        nlp.vocab,
        # Of spaCy's exceptions the contractions and abbreviations, not the smileys: `:1` is code.
        rules={text: cut for text, cut in exceptions.items() if _CONTRACTION.fullmatch(text)},
        prefix_search=compile_prefix_regex([*_PREFIXES, *(rules.prefixes or [])]).search,
        suffix_search=compile_suffix_regex([*_SUFFIXES, *(rules.suffixes or [])]).search,
        infix_finditer=compile_infix_regex([*_CUTS, *(rules.infixes or [])]).finditer,
    )
    return nlp
