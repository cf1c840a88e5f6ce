"""Augment the training pairs; validation and test stay unchanged.

The id of a variant is that of its pair, a slash, and a word with a number: `source/7/rename1`.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from pydantic import PositiveInt

from en2py.data.pairs import Pair
from en2py.data.renaming import ARGUMENT, FUNCTION, RESERVED, own_names, with_names
from en2py.data.syntax import parse
from en2py.data.tree_text import ast_text_renamed
from en2py.ranges import ProperFraction, Seed

_Pool = tuple[list[str], list[int]]  # names to draw from, and their cumulative frequencies

ATTEMPTS = 20  # draws of a new name before the old one is kept
_VARIANT = re.compile(r"/[a-z]+\d+$")
_WORD = re.compile(r"\w+")
# A quoted string, or letters up to the next white space.
_PIECE = re.compile(r"\"[^\"]*\"\S*|`[^`]*`\S*|(?<!\w)'[^']*'\S*|\S+")
# Words without which the description is another task.
_PIVOTAL = frozenset(
    "no not n't never without except unless don't doesn't isn't aren't cannot".split()
)


def original_id(pair_id: str) -> str:
    """Return the id of the pair that a variant was made of, if this is the id of a variant."""
    return _VARIANT.sub("", pair_id)


def none(pairs: Sequence[Pair], *, seed: Seed) -> list[Pair]:
    """Return the pairs unchanged."""
    return list(pairs)


def rename(
    pairs: Sequence[Pair], *, seed: Seed, n_variants: PositiveInt, functions: bool
) -> list[Pair]:
    """Add variants of each pair with other names, drawn from the names in the other programs.

    Variables get names of variables and arguments names of arguments, weighted by frequency. Names
    that occur in the description or in strings are kept, and so are names whose change could
    change the behaviour (see `renaming`). The tests of a pair get the new names too.

    Args:
        pairs: The train split.
        seed: The same seed draws the same names.
        n_variants: Maximum variants of each pair; equal variants count once.
        functions: Whether functions get other names too; the name of a function often repeats the
            description, a drawn name does not.

    Returns:
        The pairs, each followed by its variants.
    """
    kinds = [_changeable(pair, functions) for pair in pairs]
    counts: dict[str, Counter[str]] = {}
    for names in kinds:
        for name, kind in names.items():
            counts.setdefault(kind, Counter())[name] += 1
    pools: dict[str, _Pool] = {}
    for kind, counter in counts.items():
        drawn = sorted(counter)
        pools[kind] = drawn, list(accumulate(counter[name] for name in drawn))
    augmented = []
    for pair, names in zip(pairs, kinds, strict=True):
        augmented.append(pair)
        if not names:
            continue
        seen, tree = {pair.code}, _tree(pair)
        for i in range(1, n_variants + 1):
            variant = _renamed(pair, names, pools, random.Random(f"{seed}/{pair.id}/{i}"))
            # The trees should always agree; if they do not, the variant is discarded.
            if variant.code not in seen and _tree(variant) == tree:
                seen.add(variant.code)
                augmented.append(replace(variant, id=f"{pair.id}/rename{i}"))
    return augmented


def word_dropout(
    pairs: Sequence[Pair], *, seed: Seed, n_variants: PositiveInt, probability: ProperFraction
) -> list[Pair]:
    """Add variants of each pair without some words of the description.

    Numbers, quoted strings, negations, words that occur in the program and anything but plain words
    are kept, and at least one word is.

    Args:
        pairs: The train split.
        seed: The same seed drops the same words.
        n_variants: Maximum variants of each pair; equal variants count once.
        probability: Probability of each word to be dropped.

    Returns:
        The pairs, each followed by its variants.
    """
    augmented = []
    for pair in pairs:
        augmented.append(pair)
        in_code = {word.lower() for word in _WORD.findall(pair.code)}
        pieces = _PIECE.findall(pair.description)
        seen = {" ".join(pieces), ""}
        for i in range(1, n_variants + 1):
            rng = random.Random(f"{seed}/{pair.id}/{i}")
            kept = [p for p in pieces if rng.random() >= probability or _is_kept(p, in_code)]
            description = " ".join(kept)
            if description not in seen:
                seen.add(description)
                augmented.append(replace(pair, id=f"{pair.id}/words{i}", description=description))
    return augmented


def _is_kept(piece: str, in_code: set[str]) -> bool:
    word = piece.strip(".,;:!?()").lower()
    return not word.isalpha() or word in _PIVOTAL or word in in_code


def _changeable(pair: Pair, functions: bool) -> dict[str, str]:
    """Return the kinds of those names of a pair that may be changed."""
    if "\r" in pair.code or any(parse(test) is None for test in (pair.code, *pair.tests)):
        return {}
    described = {word.lower() for word in _WORD.findall(pair.description)}
    names = own_names("\n".join([pair.code, *pair.tests]))
    return {
        name: kind
        for name, kind in names.items()
        if name.lower() not in described and (functions or kind != FUNCTION)
    }


def _tree(pair: Pair) -> str | None:
    return ast_text_renamed("\n".join([pair.code, *pair.tests]))


def _renamed(
    pair: Pair, kinds: dict[str, str], pools: dict[str, _Pool], rng: random.Random
) -> Pair:
    """Return a pair with other names."""
    texts = [pair.code, *pair.tests]
    taken = {*RESERVED, *_WORD.findall("\n".join([*texts, pair.description]))}
    names = {}
    for name, kind in kinds.items():
        known, weights = pools[kind]
        drawn = (rng.choices(known, cum_weights=weights)[0] for _ in range(ATTEMPTS))
        other = next((new for new in drawn if new not in taken), None)
        if other is not None:
            names[name] = other
            taken.add(other)
    keywords = {name for name in names if kinds[name] == ARGUMENT}
    code, *tests = (with_names(text, names, keywords) for text in texts)
    return replace(pair, code=code, tests=tuple(tests))
