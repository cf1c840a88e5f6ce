"""Python code to tokens by the standard library's `tokenize`, with layout as tokens of its own.

Needs the standard library alone.
"""

import ast
import io
import re
import token as kinds
import tokenize
import warnings
from collections.abc import Iterator, Sequence

from en2py.data.syntax import parse
from en2py.data.tokenizers.detokenize import DEDENT, INDENT, LAYOUT_TOKENS, NEWLINE, write
from en2py.data.tokenizers.protocol import RuleTokenizer

# From Python 3.12 (f) and 3.14 (t) on these strings arrive in pieces; before, no such kinds exist.
_PIECES_START = {getattr(kinds, name, -1) for name in ("FSTRING_START", "TSTRING_START")} - {-1}
_PIECES_END = {getattr(kinds, name, -1) for name in ("FSTRING_END", "TSTRING_END")} - {-1}
_LAYOUT = {kinds.NEWLINE: NEWLINE, kinds.INDENT: INDENT, kinds.DEDENT: DEDENT}
_NO_TOKEN = {kinds.COMMENT, kinds.NL, kinds.ENCODING, kinds.ENDMARKER, kinds.TYPE_COMMENT}

# What `tokenize` refuses is cut by these, longest operator first.
_LEXEME = re.compile(
    r"""
      (?P<skip> [^\S\n]+ | \#[^\n]* | \\\n )
    | (?P<newline> \n )
    | (?i:[rbuft]{0,2}) (?: \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3}
                          | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    | 0[xXoObB][\da-fA-F_]+
    | (?: \d[\d_]*(?:\.[\d_]*)? | \.\d[\d_]* ) (?: [eE][+-]?\d[\d_]* )? [jJ]?
    | \w+
    | \*\*= | //= | >>= | <<= | \.\.\. | [-+*/%&|^@<>=!:]= | -> | \*\* | // | << | >> | <>
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


class PythonTokenizer(RuleTokenizer):
    """Tokens of `tokenize`, strings whole, with `<nl>`, `<indent>` and `<dedent>` for the layout.

    Code that parses comes back with the same syntax tree, written in the style of PEP 8. Comments,
    line continuations and blank lines are no tokens and do not come back, nor does the layout at
    the very end, which says nothing. Broken code is cut line by line as well as may be.
    """

    def tokenize(self, text: str) -> list[str]:
        """Cut code into tokens."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        tokens = _standard(text)
        if tokens is None and (normal_form := _normal_form(text)):
            tokens = _standard(normal_form)
        if tokens is None:
            tokens = list(_rough(text))
        while tokens and tokens[-1] in LAYOUT_TOKENS:
            tokens.pop()
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Write tokens as code, without a newline at the end."""
        return write(tokens)


def _standard(text: str) -> list[str] | None:
    """Return the tokens that the standard library finds, or None where it finds an error."""
    if "\0" in text:  # a SystemError in Python 3.12 and 3.13
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 talks of odd escapes in f-strings
            return list(_standard_tokens(text))
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return None


def _standard_tokens(text: str) -> Iterator[str]:
    lines = text.split("\n")
    nested, start = 0, (0, 0)  # of strings in pieces, which may hold others
    name, name_end = "", (0, 0)  # held back, since Python 3.11 cuts names at rare letters
    for tok in tokenize.generate_tokens(io.StringIO(text).readline):
        if name and tok.start == name_end and (name + tok.string).isidentifier() and tok.string:
            name, name_end = name + tok.string, tok.end
            continue
        if name:
            yield name
            name = ""
        if tok.type in _PIECES_START:
            start = start if nested else tok.start
            nested += 1
        elif tok.type in _PIECES_END:
            nested -= 1
            if not nested:
                yield _slice(lines, start, tok.end)
        elif nested or tok.type in _NO_TOKEN:
            continue
        elif tok.type in _LAYOUT:
            yield _LAYOUT[tok.type]
        elif tok.string.isidentifier():
            name, name_end = tok.string, tok.end
        elif tok.type == kinds.ERRORTOKEN and tok.string.isspace():
            continue  # Python 3.11, before a rare letter
        elif tok.type == kinds.ERRORTOKEN:
            raise SyntaxError(f"no Python token: {tok.string!r}")
        else:
            yield tok.string
    if name:
        yield name


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text between two (line, column) positions; lines count from one."""
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "\n".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


def _normal_form(text: str) -> str | None:
    """Return code as `ast` writes it: a second chance where it parses but `tokenize` stumbles."""
    tree = parse(text)
    try:
        return None if tree is None else ast.unparse(tree)
    except (RecursionError, ValueError):
        return None


def _rough(text: str) -> Iterator[str]:
    """Yield tokens and layout of broken code, comparing each line's indent to the one before."""
    indents = [0]
    fresh = True
    for match in _LEXEME.finditer(text):
        if match["newline"]:
            if not fresh:
                yield NEWLINE
            fresh = True
        elif not match["skip"]:
            if fresh:
                width = _indent_width(text, match.start())
                while width < indents[-1]:
                    indents.pop()
                    yield DEDENT
                if width > indents[-1]:
                    indents.append(width)
                    yield INDENT
            fresh = False
            yield match.group()


def _indent_width(text: str, position: int) -> int:
    """Count the columns before a position in its line, tabs to the next multiple of eight."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return len(line.expandtabs(8))
