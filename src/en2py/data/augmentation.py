"""More pairs for training, made from those that are there; validation and test stay as they are."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from pydantic import PositiveInt

from en2py.data.pairs import Pair
from en2py.data.renaming import ARGUMENT, FUNCTION, RESERVED, own_names, with_names
from en2py.data.syntax import ast_text_renamed, parse
from en2py.ranges import ProperFraction, Seed

ATTEMPTS = 20  # draws of a name before it stays as it is
_WORD = re.compile(r"\w+")
# A quoted string, or letters up to the next white space.
_PIECE = re.compile(r"\"[^\"]*\"\S*|`[^`]*`\S*|(?<!\w)'[^']*'\S*|\S+")
# Words that turn the task into another one when they go.
_PIVOTAL = frozenset(
    "no not n't never without except unless don't doesn't isn't aren't cannot".split()
)


def none(pairs: Sequence[Pair], *, seed: Seed) -> list[Pair]:
    """Return the pairs as they are."""
    return list(pairs)


def rename(
    pairs: Sequence[Pair], *, seed: Seed, n_variants: PositiveInt, functions: bool
) -> list[Pair]:
    """Add each program again under other names, drawn from those of the other programs.

    Variables get names of variables, arguments names of arguments, the more frequent the likelier.
    Names that description or strings speak of stay, and so does each name whose change could be
    noticed (see `renaming`). Tests are changed along.

    Args:
        pairs: The train split.
        seed: The same seed draws the same names.
        n_variants: Variants of each pair, at most: equal ones count once.
        functions: Whether functions get other names too; a function's name often says what the
            description says, and another one does not.

    Returns:
        The pairs, each followed by its variants.
    """
    kinds = [_changeable(pair, functions) for pair in pairs]
    counts: dict[str, Counter[str]] = {}
    for names in kinds:
        for name, kind in names.items():
            counts.setdefault(kind, Counter())[name] += 1
    pools = {kind: _Pool(counter) for kind, counter in counts.items()}
    grown = []
    for pair, names in zip(pairs, kinds, strict=True):
        grown.append(pair)
        if not names:
            continue
        seen, tree = {pair.code}, _tree(pair)
        for i in range(1, n_variants + 1):
            variant = _renamed(pair, names, pools, random.Random(f"{seed}/{pair.id}/{i}"))
            # By design the trees agree; a name that slipped through must not spoil a pair.
            if variant.code not in seen and _tree(variant) == tree:
                seen.add(variant.code)
                grown.append(replace(variant, id=f"{pair.id}/rename{i}"))
    return grown


def word_dropout(
    pairs: Sequence[Pair], *, seed: Seed, n_variants: PositiveInt, probability: ProperFraction
) -> list[Pair]:
    """Add each pair again with some words of its description left out.

    Numbers, quoted strings, negations, words of the program and anything but plain words stay, and
    at least one word does.

    Args:
        pairs: The train split.
        seed: The same seed drops the same words.
        n_variants: Variants of each pair, at most: equal ones count once.
        probability: Of each word to be left out.

    Returns:
        The pairs, each followed by its variants.
    """
    if not 0 <= probability < 1:
        raise ValueError(f"probability ({probability}) is not in [0, 1)")
    grown = []
    for pair in pairs:
        grown.append(pair)
        in_code = {word.lower() for word in _WORD.findall(pair.code)}
        pieces = _PIECE.findall(pair.description)
        seen = {" ".join(pieces), ""}
        for i in range(1, n_variants + 1):
            rng = random.Random(f"{seed}/{pair.id}/{i}")
            kept = [p for p in pieces if rng.random() >= probability or _stays(p, in_code)]
            description = " ".join(kept)
            if description not in seen:
                seen.add(description)
                grown.append(replace(pair, id=f"{pair.id}/words{i}", description=description))
    return grown


def _stays(piece: str, in_code: set[str]) -> bool:
    word = piece.strip(".,;:!?()").lower()
    return not word.isalpha() or word in _PIVOTAL or word in in_code


def _changeable(pair: Pair, functions: bool) -> dict[str, str]:
    """Return the kinds of the names of a pair that may be changed."""
    if "\r" in pair.code or any(parse(test) is None for test in (pair.code, *pair.tests)):
        return {}
    spoken_of = {word.lower() for word in _WORD.findall(pair.description)}
    names = own_names("\n".join([pair.code, *pair.tests]))
    return {
        name: kind
        for name, kind in names.items()
        if name.lower() not in spoken_of and (functions or kind != FUNCTION)
    }


class _Pool:
    """Names to draw from, by frequency."""

    def __init__(self, counter: Counter[str]) -> None:
        self.names = sorted(counter)
        self.up_to = list(accumulate(counter[name] for name in self.names))

    def draw(self, rng: random.Random) -> str:
        return rng.choices(self.names, cum_weights=self.up_to)[0]


def _tree(pair: Pair) -> str | None:
    return ast_text_renamed("\n".join([pair.code, *pair.tests]))


def _renamed(
    pair: Pair, kinds: dict[str, str], pools: dict[str, _Pool], rng: random.Random
) -> Pair:
    """Return a pair under other names."""
    texts = [pair.code, *pair.tests]
    taken = {*RESERVED, *_WORD.findall("\n".join([*texts, pair.description]))}
    names = {}
    for name, kind in kinds.items():
        drawn = (pools[kind].draw(rng) for _ in range(ATTEMPTS))
        other = next((new for new in drawn if new not in taken), None)
        if other is not None:
            names[name] = other
            taken.add(other)
    keywords = {name for name in names if kinds[name] == ARGUMENT}
    code, *tests = (with_names(text, names, keywords) for text in texts)
    return replace(pair, code=code, tests=tuple(tests))
