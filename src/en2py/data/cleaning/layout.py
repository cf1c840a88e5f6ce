"""Cleaning steps that change white space and keep the syntax tree of code that parses."""

import ast
import re
import textwrap
import tokenize
import warnings
from functools import lru_cache

from autopep8 import fix_code
from pydantic import PositiveInt

from en2py.data.cleaning.rewriting import (
    first_that_parses,
    refuse_pathological,
    tokens_of,
    tree_text,
    with_same_tree,
)
from en2py.data.pairs import Pair
from en2py.data.syntax import NOT_A_PROGRAM, parse

INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
TRAILING_BLANKS = re.compile(r"[ \t\f]+$", re.MULTILINE)
# 4 spaces of a slide or PDF often arrive as 3, 8 as 7, 12 as 11.
ODD_INDENT = re.compile(r"^(?: {3}| {7}| {11})(?=\S)", re.MULTILINE)

# Rules that autopep8 checks but, without `--aggressive`, does not fix.
NOT_FIXED = "E711 E712 E713 E714 E721 E722 E741 E742 E743 W505 W605".split()
LINE_LENGTH = 79  # PEP 8
# Characters in longer lines. To break them takes autopep8 2 ms a character, so tables of data keep
# their lines; no program in the students' file has so many.
MAX_LONG_LINES = 2_000
# In each pass autopep8 adds one space after one comma of a line; 250 numbers take 250 passes.
MAX_PASSES = 100


def trim_lines(pair: Pair) -> Pair:
    """Normalize line ends; remove trailing blanks, and empty lines around the code."""
    code = pair.code.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    trimmed = with_same_tree(pair, code.strip("\n"))
    return with_same_tree(trimmed, TRAILING_BLANKS.sub("", trimmed.code).strip("\n"))


def expand_tabs(pair: Pair, *, size: PositiveInt) -> Pair:
    """Replace tabs in indents by spaces.

    Args:
        pair: The pair.
        size: Spaces for a tab; if the code does not parse with them, tab stops are tried, those of
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
    """Remove a common indent of the code."""
    if not pair.code[:1].isspace() or tree_text(pair.code) is not None:
        return pair
    whole = textwrap.dedent(pair.code)
    first_alone = pair.code.lstrip(" \t")  # only the first line is indented
    repaired = first_that_parses(pair, (whole, first_alone))
    return with_same_tree(pair, whole) if repaired is pair else repaired


def widen_indents(pair: Pair) -> Pair:
    """Widen indents of 3, 7 and 11 spaces to 4, 8 and 12 (for experiment=keyword_weights)."""
    return with_same_tree(pair, ODD_INDENT.sub(lambda indent: indent[0] + " ", pair.code))


def autopep8(pair: Pair, *, ignore: str) -> Pair:
    """Format code by autopep8.

    Args:
        pair: The pair.
        ignore: Rules to skip, separated by commas. Replaces the default list of autopep8, which
            would skip the spaces in `a+b`.

    Raises:
        Drop: If the code is so large or nested that autopep8 might take minutes.
    """
    refuse_pathological(pair.code)
    return with_same_tree(pair, _formatted(pair.code, ignore))


@lru_cache(maxsize=8192)  # a third of the students' programs are repeats, at 5 ms each
def _formatted(code: str, ignore: str) -> str:
    rules = [*NOT_FIXED, *(rule.strip() for rule in ignore.split(",") if rule.strip())]
    if sum(len(line) for line in code.split("\n") if len(line) > LINE_LENGTH) > MAX_LONG_LINES:
        rules.append("E501")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # autopep8 compiles its result
            options = {"ignore": rules, "pep8_passes": MAX_PASSES}
            return str(fix_code(code, options=options)).rstrip("\n")
    except Exception:  # on broken code: IndexError, AssertionError, TokenError and others
        return code


def unparse(pair: Pair) -> Pair:
    """Rewrite code by `ast.unparse`, whose layout depends on the syntax tree alone."""
    tree = parse(pair.code)
    if tree is None:
        return pair
    try:
        return with_same_tree(pair, ast.unparse(tree))
    except NOT_A_PROGRAM:  # a tree too deep
        return pair


def space_brackets(pair: Pair) -> Pair:
    """Put spaces around brackets (for experiment=joint_vectors); use it after autopep8."""
    lines = pair.code.split("\n")
    inside_f_string = 0  # several tokens from Python 3.12 on; a space would change the string
    places: set[tuple[int, int]] = set()
    for token in tokens_of(pair.code):
        name = tokenize.tok_name[token.type]
        inside_f_string += (name == "FSTRING_START") - (name == "FSTRING_END")
        if token.type == tokenize.OP and token.string in "()[]{}" and not inside_f_string:
            places |= {token.start, token.end}
    for row, column in sorted(places, reverse=True):
        before, after = lines[row - 1][:column], lines[row - 1][column:]
        if before.strip() and after and not before[-1].isspace() and not after[0].isspace():
            lines[row - 1] = f"{before} {after}"
    return with_same_tree(pair, "\n".join(lines))
