"""Steps that move white space; where the code parses, its syntax tree stays."""

import ast
import io
import re
import textwrap
import tokenize
import warnings
from functools import lru_cache

from en2py.data.cleaning import pep8
from en2py.data.cleaning.rewriting import (
    first_that_parses,
    refuse_pathological,
    tree_text,
    with_same_tree,
)
from en2py.data.pairs import Pair
from en2py.data.syntax import NOT_A_PROGRAM, parse

INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
TRAILING_BLANKS = re.compile(r"[ \t\f]+$", re.MULTILINE)
# 4 spaces of a slide or PDF often arrive as 3, 8 as 7, 12 as 11.
ODD_INDENT = re.compile(r"^(?: {3}| {7}| {11})(?=\S)", re.MULTILINE)

LINE_LENGTH = 79  # PEP 8
# Characters in longer lines. Breaking such lines takes autopep8 2 ms a character: tables of data
# (there is no program with so many in the students' file) keep theirs.
MAX_LONG_LINES = 2_000
# autopep8 puts one space after one comma of a line in each pass; a row of 250 numbers takes 250.
MAX_PASSES = 100


def trim_lines(pair: Pair) -> Pair:
    """Write line ends as line feeds; remove blanks before them, and empty lines around the code."""
    code = pair.code.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    trimmed = with_same_tree(pair, code.strip("\n"))
    return with_same_tree(trimmed, TRAILING_BLANKS.sub("", trimmed.code).strip("\n"))


def expand_tabs(pair: Pair, *, size: int) -> Pair:
    """Write tabs in indents as spaces.

    Args:
        pair: The pair.
        size: Spaces for a tab; where the code does not parse so, tab stops are tried, those of
            Python 2 (every 8 columns) last.
    """
    if "\t" not in pair.code:
        return pair
    plain = INDENT.sub(lambda indent: indent[0].replace("\t", " " * size), pair.code)
    if tree_text(pair.code) is not None or tree_text(plain) is not None:
        return with_same_tree(pair, plain)
    stops = [INDENT.sub(lambda i, n=n: i[0].expandtabs(n), pair.code) for n in (size, 8)]  # type: ignore[misc]
    repaired = first_that_parses(pair, stops)
    return with_same_tree(pair, plain) if repaired is pair else repaired


def dedent(pair: Pair) -> Pair:
    """Move code that starts indented to the margin."""
    if not pair.code[:1].isspace() or tree_text(pair.code) is not None:
        return pair
    whole = textwrap.dedent(pair.code)
    first_alone = pair.code.lstrip(" \t")  # a first line pasted without the rest's indent
    repaired = first_that_parses(pair, (whole, first_alone))
    return with_same_tree(pair, whole) if repaired is pair else repaired


def widen_indents(pair: Pair) -> Pair:
    """Make indents of 3, 7 and 11 spaces 4, 8 and 12 (documented in the seed experiments)."""
    return with_same_tree(pair, ODD_INDENT.sub(lambda indent: indent[0] + " ", pair.code))


def autopep8(pair: Pair, *, ignore: str) -> Pair:
    """Format code by autopep8.

    Args:
        pair: The pair.
        ignore: Rules to leave alone, separated by commas. It replaces autopep8's own list, so
            that `a+b` gets its spaces.

    Raises:
        Drop: If the code is so large or nested that autopep8 might not end.
    """
    refuse_pathological(pair.code)
    return with_same_tree(pair, _formatted(pair.code, ignore))


@lru_cache(maxsize=8192)  # a third of the students' programs are repeats; each costs 3 ms
def _formatted(code: str, ignore: str) -> str:
    if sum(len(line) for line in code.split("\n") if len(line) > LINE_LENGTH) > MAX_LONG_LINES:
        ignore += ",E501"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it compiles what it writes
            return pep8.fix(code, pep8.options(ignore, MAX_PASSES)).rstrip("\n")
    except (
        Exception
    ):  # on broken code it fails in many ways: IndexError, AssertionError, TokenError
        return code


def unparse(pair: Pair) -> Pair:
    """Write code in the one form that `ast.unparse` gives to all layouts of a program."""
    tree = parse(pair.code)
    if tree is None:
        return pair
    try:
        return with_same_tree(pair, ast.unparse(tree))
    except NOT_A_PROGRAM:  # a tree too deep
        return pair


def space_brackets(pair: Pair) -> Pair:
    """Put spaces around brackets (documented in the seed experiments); comes after autopep8."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(pair.code).readline))
    except (tokenize.TokenError, *NOT_A_PROGRAM):
        return pair
    lines = pair.code.split("\n")
    inside_f_string = 0  # several tokens from Python 3.12 on; a space in it would be printed
    places: set[tuple[int, int]] = set()
    for token in tokens:
        name = tokenize.tok_name[token.type]
        inside_f_string += (name == "FSTRING_START") - (name == "FSTRING_END")
        if token.type == tokenize.OP and token.string in "()[]{}" and not inside_f_string:
            places |= {token.start, token.end}
    for row, column in sorted(places, reverse=True):
        before, after = lines[row - 1][:column], lines[row - 1][column:]
        if before.strip() and after and not before[-1].isspace() and not after[0].isspace():
            lines[row - 1] = f"{before} {after}"
    return with_same_tree(pair, "\n".join(lines))
