"""Tokenize programs for metrics, and classify target tokens.

Scores must depend neither on a run's tokenizer nor on the Python version (`tokenize` changed in
3.12 and raises on invalid code), so metrics have their own lexer. For valid programs it returns the
tokens of `tokenize` without comments; for invalid text it continues.
"""

import keyword
import re
from functools import lru_cache

from en2py.data.tokenizers.pieces import GLUE
from en2py.data.vocab import SPECIAL_TOKENS

CACHED_PROGRAMS = 2**13  # references, and programs of baselines, which are scored several times
LAYOUT_NAME = "python-layout-1"  # part of signatures; increases when the tokens change
CONALA_NAME = "conala"
NEWLINE, INDENT, DEDENT = "⏎", "⇥", "⇤"  # one character each, for chrF
TOKEN_CLASSES = ("keyword", "operator", "layout", "identifier", "literal", "other")

_LONG_OPERATORS = "**= //= >>= <<= ... != %= &= ** *= += -= -> // /= := << <= == >= >> @= ^= |="
_OPERATORS = {*_LONG_OPERATORS.split(), *"+-*/%@&|^~<>()[]{},:.;="}
_DIGITS = r"[0-9](?:_?[0-9])*"
_PREFIX = r"(?:[rR][bBfF]?|[bBfF][rR]?|[uU])?"
_STRING = (
    rf"{_PREFIX}"
    r'(?:"""(?:[^\\]|\\.)*?"""|'
    r"'''(?:[^\\]|\\.)*?'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'(?:[^'\\\n]|\\.)*')"
)
_NUMBER = (
    r"0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|"
    rf"(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?{_DIGITS})?[jJ]?"
)
_LEXEMES = re.compile(
    rf"(?P<skip>[ \t\f]+|\\\n|\#[^\n]*)|(?P<newline>\n)"
    rf"|(?P<token>{_STRING}|{_NUMBER}|[^\W\d]\w*"
    rf"|{'|'.join(map(re.escape, _LONG_OPERATORS.split()))}|\S)",
    re.DOTALL,
)
_LITERAL = re.compile(rf"(?:{_STRING}|{_NUMBER})\Z", re.DOTALL)
_CLOSES = {")": "(", "]": "[", "}": "{"}
_CONALA_PIECES = re.compile(r"\w+|\S", re.ASCII)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Byte-level BPE writes a space, a line break and a tab as these letters.
_BYTE_SPACES = str.maketrans({"Ġ": " ", "Ċ": "\n", "ĉ": "\t"})


@lru_cache(maxsize=CACHED_PROGRAMS)
def layout_tokens(code: str) -> tuple[str, ...]:
    """Return Python's tokens of any text, with tokens for line breaks and changes of indentation.

    Comments are removed, string literals are one token. Layout is kept after a bracket that is
    never closed.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")  # as Python's parser does
    lexemes = list(_LEXEMES.finditer(code))
    matched = _matched_brackets(lexemes)
    tokens: list[str] = []
    indents, depth, line_start, at_line_start = [0], 0, 0, True
    for i, lexeme in enumerate(lexemes):
        if lexeme["token"] is not None:
            if at_line_start:
                width = _width(code[line_start : lexeme.start()])
                tokens += _change_of_indent(indents, width)
                at_line_start = False
            tokens.append(lexeme["token"])
            if i in matched:
                depth += -1 if lexeme["token"] in _CLOSES else 1
        elif lexeme["newline"] is not None and depth == 0:
            line_start = lexeme.end()
            if not at_line_start:
                tokens.append(NEWLINE)
                at_line_start = True
    if not at_line_start:
        tokens.append(NEWLINE)
    return (*tokens, *[DEDENT] * (len(indents) - 1))


def conala_tokens(code: str) -> list[str]:
    """Tokenize as in published CoNaLa results: words split at case changes, one kind of quotes.

    Ling et al. (2016), "Latent Predictor Networks for Code Generation", as in the CoNaLa challenge.
    """
    pieces = (piece for word in _CONALA_PIECES.findall(code) for piece in _CAMEL.split(word))
    return ["`" if piece in "\"'" else piece for piece in pieces]


def token_class(token: str) -> str:
    """Return the class, one of `TOKEN_CLASSES`, of a token of any tokenizer of this package.

    `True`, `False` and `None` are keywords, as in Python's grammar. Special tokens, comments and
    fragments of tokens (mostly from BPE) are "other".
    """
    if token in SPECIAL_TOKENS:
        return "other"
    spelled = token.strip(GLUE).translate(_BYTE_SPACES).strip()
    if not spelled or spelled in (NEWLINE, INDENT, DEDENT) or re.fullmatch(r"<\w+>", spelled):
        return "layout"
    if keyword.iskeyword(spelled):
        return "keyword"
    if spelled.isidentifier():
        return "identifier"
    if _LITERAL.match(spelled):
        return "literal"
    return "operator" if spelled in _OPERATORS else "other"


def _matched_brackets(lexemes: list[re.Match[str]]) -> set[int]:
    """Return the positions of matched brackets."""
    opened: list[tuple[int, str]] = []
    matched: set[int] = set()
    for i, lexeme in enumerate(lexemes):
        token = lexeme["token"]
        if token in ("(", "[", "{"):
            opened.append((i, token))
        elif token in _CLOSES:
            while opened and opened[-1][1] != _CLOSES[token]:
                opened.pop()
            if opened:
                matched |= {opened.pop()[0], i}
    return matched


def _width(blank: str) -> int:
    """Return the width of an indentation as Python computes it, after a continued line too."""
    return len(blank.rsplit("\n", 1)[-1].rsplit("\f", 1)[-1].expandtabs(8))


def _change_of_indent(indents: list[int], width: int) -> list[str]:
    """Update the stack of indentations to a width and return the layout tokens."""
    tokens = []
    while indents[-1] > width:
        indents.pop()
        tokens.append(DEDENT)
    if indents[-1] < width:
        indents.append(width)
        tokens.append(INDENT)
    return tokens
