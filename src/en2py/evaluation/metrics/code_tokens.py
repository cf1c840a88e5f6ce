"""Program text to the tokens that metrics count.

Scores must not depend on the tokenizer of a run, nor on the Python that computes them (its own
`tokenize` changed in 3.12 and raises on broken code), so this lexer is the metrics' own. On a
program that parses it gives what `tokenize` gives, without comments; on broken text it goes on.
"""

import keyword
import re

from en2py.data.vocab import SPECIAL_TOKENS

LAYOUT_NAME = "python-layout-1"  # stands in signatures; goes up when the tokens change
CONALA_NAME = "conala"
NEWLINE, INDENT, DEDENT = "⏎", "⇥", "⇤"
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


def layout_tokens(code: str) -> list[str]:
    """Cut a program into Python's tokens, with words for new lines and changes of indentation.

    Comments are left out, strings stay whole. A bracket that is never closed does not swallow the
    layout of the rest.

    Args:
        code: Any text.

    Returns:
        The tokens; empty for a text without code.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")  # as Python's parser does
    lexemes = list(_LEXEMES.finditer(code))
    paired = _paired_brackets(lexemes)
    tokens: list[str] = []
    indents, depth, line_start, fresh = [0], 0, 0, True
    for i, lexeme in enumerate(lexemes):
        if lexeme["token"] is not None:
            if fresh:
                width = _width(code[line_start : lexeme.start()])
                tokens += _change_of_indent(indents, width)
                fresh = False
            tokens.append(lexeme["token"])
            if i in paired:
                depth += -1 if lexeme["token"] in _CLOSES else 1
        elif lexeme["newline"] is not None and depth == 0:
            line_start = lexeme.end()
            if not fresh:
                tokens.append(NEWLINE)
                fresh = True
    if not fresh:
        tokens.append(NEWLINE)
    return tokens + [DEDENT] * (len(indents) - 1)


def conala_tokens(code: str) -> list[str]:
    """Cut code as published CoNaLa results do: words at case changes, all quotes alike, no layout.

    The rule is that of Ling et al. (2016), "Latent Predictor Networks for Code Generation", as
    used by the CoNaLa challenge.
    """
    pieces = (piece for word in _CONALA_PIECES.findall(code) for piece in _CAMEL.split(word))
    return ["`" if piece in "\"'" else piece for piece in pieces]


def token_class(token: str) -> str:
    """Name the class of a token of any of our tokenizers, one of `TOKEN_CLASSES`.

    `True`, `False` and `None` are keywords, as in Python's grammar. Special tokens, comments and
    pieces that are no token of Python (of BPE, mostly) are "other".
    """
    if token in SPECIAL_TOKENS:
        return "other"
    spelled = token.translate(_BYTE_SPACES).strip()
    if not spelled or spelled in (NEWLINE, INDENT, DEDENT) or re.fullmatch(r"<\w+>", spelled):
        return "layout"
    if keyword.iskeyword(spelled):
        return "keyword"
    if spelled.isidentifier():
        return "identifier"
    if _LITERAL.match(spelled):
        return "literal"
    return "operator" if spelled in _OPERATORS else "other"


def _paired_brackets(lexemes: list[re.Match[str]]) -> set[int]:
    """Return the places of the brackets that have a partner."""
    opened: list[tuple[int, str]] = []
    paired: set[int] = set()
    for i, lexeme in enumerate(lexemes):
        token = lexeme["token"]
        if token in ("(", "[", "{"):
            opened.append((i, token))
        elif token in _CLOSES:
            while opened and opened[-1][1] != _CLOSES[token]:
                opened.pop()
            if opened:
                paired |= {opened.pop()[0], i}
    return paired


def _width(blank: str) -> int:
    """Measure an indentation as Python does; a continued line may lie in between."""
    return len(blank.rsplit("\n", 1)[-1].rsplit("\f", 1)[-1].expandtabs(8))


def _change_of_indent(indents: list[int], width: int) -> list[str]:
    """Bring the stack of open indentations to a width and return the layout words for it."""
    words = []
    while indents[-1] > width:
        indents.pop()
        words.append(DEDENT)
    if indents[-1] < width:
        indents.append(width)
        words.append(INDENT)
    return words
