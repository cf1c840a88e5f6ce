"""The words of the grammar: what can be asked of one element, and what can be made of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

NUMBERS = {
    "k": (3, 4, 5, 6, 7, 8, 9, 10),  # divisors
    "n": (3, 4, 5, 6, 7),  # lengths of words
    "p": (2, 3, 4),  # times, first letters
    "f": (4, 5, 6, 7, 8, 9, 10),  # factors; twice and three times have words of their own
    "t": (5, 10, 12, 15, 18, 20, 25, 30, 40, 50),  # thresholds
    "b": (1, 2, 3, 4),  # lower ends
    "d": (0, 1, 2, 3, 5, 7, 9),  # digits
}
CITIES = ("Paris", "London", "Rome", "Berlin", "Madrid")
LETTERS = "abcdehlmnoprst"
QUESTIONS = ("[check] whether", "[check] if", "[return] True if", "[determine] whether")


@dataclass(frozen=True)
class Check:
    """A yes-or-no question about one element.

    Attributes:
        name: The primitive.
        code: A condition on `{x}`.
        negated: The opposite condition.
        kind: What it is asked of: `number`, `word` or `char`.
        adjectives: Words for before the noun: `even` numbers.
        after: Words for after it, with "is" before a verb is wanted: numbers `greater than 5`.
        verbs: Verb phrases, plural: numbers that `end in 7`.
        nouns: Nouns that say it all, (plural, singular): `vowels`.
        measured: Also makes sense for prices, ages and the like.
    """

    name: str
    code: str
    negated: str
    kind: str = "number"
    adjectives: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    nouns: tuple[tuple[str, str], ...] = ()
    measured: bool = False

    def on(self, x: str) -> str:
        """Write the condition on an expression."""
        return self.code.replace("{x}", f"({x})")

    def fails_on(self, x: str) -> str:
        """Write the opposite condition."""
        return self.negated.replace("{x}", f"({x})")

    def predicate(self, rng: Random, plural: bool) -> str:
        """Draw a verb phrase: `are even`, `ends in 7`."""
        be = "are" if plural else "is"
        options = [f"{be} {text}" for text in (*self.adjectives, *self.after)]
        options += [text if plural else _singular(text) for text in self.verbs]
        options += [f"are {many}" if plural else f"is a {one}" for many, one in self.nouns]
        return rng.choice(options)


@dataclass(frozen=True)
class Change:
    """Something to make of one element.

    Attributes:
        name: The primitive.
        code: An expression of `{x}`.
        verbs: What to do with `{it}`: `[multiply] {it} by 3`.
        nouns: (plural, singular) of what comes out: the `squares` of the numbers; may be empty.
        kind: What it is done to.
        to: What comes out.
        measured: Also makes sense for prices, ages and the like.
    """

    name: str
    code: str
    verbs: tuple[str, ...]
    nouns: tuple[tuple[str, str], ...] = ()
    kind: str = "number"
    to: str = "number"
    measured: bool = False

    def on(self, x: str) -> str:
        """Write the expression for an element."""
        return self.code.replace("{x}", f"({x})")

    def verb(self, rng: Random, it: str) -> str:
        """Draw a clause that does it."""
        return rng.choice(self.verbs).replace("{it}", it)


def named(role: str, *primitives: Check | Change | None) -> tuple[str, ...]:
    """Return `role:name` for each primitive that is not None."""
    return tuple(f"{role}:{primitive.name}" for primitive in primitives if primitive)


def rows(table: str, n_columns: int) -> Iterator[list[str]]:
    """Yield the cells of each line of a table with `|` between columns; missing cells are empty."""
    for line in table.strip().splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        yield [*cells, *[""] * (n_columns - len(cells))]


def alternatives(cell: str) -> tuple[str, ...]:
    """Split the alternatives in a cell, which have ` / ` between them."""
    return tuple(text.strip() for text in cell.split(" / ")) if cell else ()


PrimitiveT = TypeVar("PrimitiveT", Check, Change)


def draw(rng: Random, primitive: PrimitiveT) -> PrimitiveT:
    """Draw the values of a primitive."""
    first, second = rng.sample(LETTERS, 2)
    values = {name: str(rng.choice(numbers)) for name, numbers in NUMBERS.items()}
    values |= {"c": first, "e": second, "v": rng.choice(CITIES)}

    def put(field: object) -> object:
        if isinstance(field, tuple):
            return tuple(put(item) for item in field)
        if not isinstance(field, str) or "{" not in field:
            return field
        return re.sub(r"\{(\w)\}", lambda m: values.get(m[1], m[0]), field)

    fields = ("code", "negated", "after", "verbs", "nouns")
    kept = {name: put(getattr(primitive, name)) for name in fields if hasattr(primitive, name)}
    return replace(primitive, **kept)  # type: ignore[arg-type]


def _singular(verb_phrase: str) -> str:
    """Turn `end in 7`, said of many, into `ends in 7`, said of one."""
    verb, _, rest = verb_phrase.partition(" ")
    verb = {"are": "is", "have": "has", "do": "does"}.get(verb, verb + "s")
    if rest.startswith("not ") and rest.endswith(("vowels", "spaces")):
        rest = "not a " + rest[4:-1]
    return f"{verb} {rest}"
