"""What several steps share: when a new code may replace the old one, and which is too large."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from en2py.data.cleaning.pipeline import Drop
from en2py.data.pairs import Pair
from en2py.data.syntax import ast_text

# One pair passes several steps in a row, so the tree of a code is asked for several times.
tree_text = lru_cache(maxsize=64)(ast_text)

# Above these, autopep8 and fissix may take minutes. The longest of the students' programs has 2,439
# characters, the longest line 197.
MAX_CHARACTERS = 10_000
MAX_LINE = 1_000
MAX_NESTING = 40


def with_same_tree(pair: Pair, code: str) -> Pair:
    """Take a new code if it is the same program, or if the old one is none."""
    if code == pair.code:
        return pair
    before = tree_text(pair.code)
    return replace(pair, code=code) if before is None or tree_text(code) == before else pair


def first_that_parses(pair: Pair, codes: Iterable[str]) -> Pair:
    """Take the first of several repairs that makes a program; the old code where none does."""
    for code in codes:
        if tree_text(code) is not None:
            return replace(pair, code=code)
    return pair


def refuse_pathological(code: str) -> None:
    """Drop code on which slow tools would not end in bounded time.

    Raises:
        Drop: If the code, a line or its nesting is far beyond what people write.
    """
    if len(code) > MAX_CHARACTERS:
        raise Drop(f"code over {MAX_CHARACTERS:,} characters")
    if max(map(len, code.split("\n"))) > MAX_LINE:
        raise Drop(f"line over {MAX_LINE:,} characters")
    depth = deepest = 0
    for character in code:  # brackets in strings count too: this is a guard, not a parser
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth = max(0, depth - 1)
    if deepest > MAX_NESTING:
        raise Drop(f"brackets nested over {MAX_NESTING} deep")
