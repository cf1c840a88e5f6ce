"""Shared by the cleaning steps: conditions to replace code, and limits of its size."""

import io
import tokenize
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from en2py.data.cleaning.pipeline import Drop
from en2py.data.pairs import Pair
from en2py.data.syntax import NOT_A_PROGRAM
from en2py.data.tree_text import ast_text

# Several steps in a row need the tree of the same code.
tree_text = lru_cache(maxsize=64)(ast_text)

# Above these limits autopep8 and fissix may take minutes. The longest program of the students' file
# has 2,439 characters, the longest line 197.
MAX_CHARACTERS = 10_000
MAX_LINE = 1_000
MAX_NESTING = 40


def tokens_of(code: str) -> list[tokenize.TokenInfo]:
    """Return the tokens of the standard library; none where it refuses the code."""
    try:
        return list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, *NOT_A_PROGRAM):
        return []


def with_same_tree(pair: Pair, code: str) -> Pair:
    """Replace the code if the syntax tree stays the same or the old code does not parse."""
    if code == pair.code:
        return pair
    before = tree_text(pair.code)
    return replace(pair, code=code) if before is None or tree_text(code) == before else pair


def first_that_parses(pair: Pair, codes: Iterable[str]) -> Pair:
    """Replace the code by the first repair that parses; keep it if none does."""
    for code in codes:
        if tree_text(code) is not None:
            return replace(pair, code=code)
    return pair


def refuse_pathological(code: str) -> None:
    """Drop code on which autopep8 and fissix may take minutes.

    Raises:
        Drop: If the code, a line or the nesting of brackets is too long.
    """
    if len(code) > MAX_CHARACTERS:
        raise Drop(f"code over {MAX_CHARACTERS:,} characters")
    if max(map(len, code.split("\n"))) > MAX_LINE:
        raise Drop(f"line over {MAX_LINE:,} characters")
    depth = deepest = 0
    for character in code:  # also brackets in strings: a limit needs no parser
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth = max(0, depth - 1)
    if deepest > MAX_NESTING:
        raise Drop(f"brackets nested over {MAX_NESTING} deep")
