"""Tokenize Python code by the standard library's `tokenize`, with tokens for lines and indents."""

import ast
import io
import re
import token as kinds
import tokenize
import warnings
from collections.abc import Iterator, Sequence

from en2py.data.syntax import parse, text_between
from en2py.data.tokenizers.detokenize import DEDENT, INDENT, LAYOUT_TOKENS, NEWLINE, write
from en2py.data.tokenizers.protocol import Tokenizer

# From Python 3.12 (f) and 3.14 (t) on these strings are several tokens; before, one.
_STRING_START = {getattr(kinds, name, -1) for name in ("FSTRING_START", "TSTRING_START")} - {-1}
_STRING_END = {getattr(kinds, name, -1) for name in ("FSTRING_END", "TSTRING_END")} - {-1}
_LAYOUT = {kinds.NEWLINE: NEWLINE, kinds.INDENT: INDENT, kinds.DEDENT: DEDENT}
_NO_TOKEN = {kinds.COMMENT, kinds.NL, kinds.ENCODING, kinds.ENDMARKER, kinds.TYPE_COMMENT}

# Patterns of lexemes, for `re.VERBOSE`, longest operator first.
QUOTED = r"""
    (?: \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3}
      | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )"""
NUMBER_OR_NAME = r"""
      0[xXoObB][\da-fA-F_]+
    | (?: \d[\d_]*(?:\.[\d_]*)? | \.\d[\d_]* ) (?: [eE][+-]?\d[\d_]* )? [jJ]?
    | \w+"""
OPERATOR = r"\*\*= | //= | >>= | <<= | \.\.\. | [-+*/%&|^@<>=!:]= | -> | \*\* | // | << | >>"

# Lexemes of code that `tokenize` does not accept.
_LEXEME = re.compile(
    rf"""
      (?P<skip> [^\S\n]+ | \#[^\n]* | \\\n )
    | (?P<newline> \n )
    | (?i:[rbuft]{{0,2}}) {QUOTED}
    | {NUMBER_OR_NAME}
    | {OPERATOR} | <>
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


class PythonTokenizer(Tokenizer):
    """Tokens of `tokenize`, strings whole, with `<nl>`, `<indent>` and `<dedent>` for the layout.

    Code that parses is detokenized to the same syntax tree, in the style of PEP 8. Comments, line
    continuations, blank lines and layout tokens at the end are dropped. Code that does not parse is
    tokenized line by line.
    """

    def tokenize(self, text: str) -> list[str]:
        """Split code into tokens."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        tokens = _standard(text)
        if tokens is None and (normal_form := _normal_form(text)):
            tokens = _standard(normal_form)
        if tokens is None:
            tokens = list(_tokenize_broken(text))
        while tokens and tokens[-1] in LAYOUT_TOKENS:
            tokens.pop()
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens to code, without a newline at the end."""
        return write(tokens)


def _standard(text: str) -> list[str] | None:
    """Return the tokens of the standard library, None if it raises an error."""
    if "\0" in text:  # a SystemError in Python 3.12 and 3.13
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of invalid escapes in f-strings
            return list(_standard_tokens(text))
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return None


def _standard_tokens(text: str) -> Iterator[str]:
    lines = text.split("\n")
    nested, start = 0, (0, 0)  # f-strings, which may contain others
    name, name_end = "", (0, 0)  # not yielded yet: Python 3.11 splits names at rare letters
    for tok in tokenize.generate_tokens(io.StringIO(text).readline):
        if name and tok.start == name_end and (name + tok.string).isidentifier() and tok.string:
            name, name_end = name + tok.string, tok.end
            continue
        if name:
            yield name
            name = ""
        if tok.type in _STRING_START:
            start = start if nested else tok.start
            nested += 1
        elif tok.type in _STRING_END:
            nested -= 1
            if not nested:
                yield text_between(lines, start, tok.end)
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


def _normal_form(text: str) -> str | None:
    """Return code as `ast.unparse` writes it, for code that parses but that `tokenize` refuses."""
    tree = parse(text)
    try:
        return None if tree is None else ast.unparse(tree)
    except (RecursionError, ValueError):
        return None


def _tokenize_broken(text: str) -> Iterator[str]:
    """Yield tokens of code that does not parse; indents are compared from line to line."""
    indents = [0]
    at_line_start = True
    for match in _LEXEME.finditer(text):
        if match["newline"]:
            if not at_line_start:
                yield NEWLINE
            at_line_start = True
        elif not match["skip"]:
            if at_line_start:
                width = _indent_width(text, match.start())
                while width < indents[-1]:
                    indents.pop()
                    yield DEDENT
                if width > indents[-1]:
                    indents.append(width)
                    yield INDENT
            at_line_start = False
            yield match.group()


def _indent_width(text: str, position: int) -> int:
    """Count the columns before a position in its line, tabs to the next multiple of eight."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return len(line.expandtabs(8))
