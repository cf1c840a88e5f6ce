"""The primitives of the grammar: checks and changes of one element."""

import re
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from en2py.data.sources.tasks.tables import table

CITIES: tuple[str, ...] = table("inputs")["cities"]
LETTERS = "abcdehlmnoprst"


@dataclass(frozen=True)
class Check:
    """A condition on one element.

    Attributes:
        name: The primitive.
        kind: Kind of the element: `number`, `word`, `char` and others.
        code: A condition on `{x}`.
        negated: The opposite condition.
        adjectives: Adjectives before the noun: `even` numbers.
        after: Complements of "is", also after the noun: numbers `greater than 5`.
        verbs: Verb phrases in the plural: numbers that `end in 7`.
        nouns: Nouns for the elements that pass, (plural, singular): `vowels`.
        measured: Also sensible for prices, ages and the like.
    """

    name: str
    kind: str
    code: str
    negated: str
    adjectives: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    nouns: tuple[tuple[str, str], ...] = ()
    measured: bool = False

    def on(self, x: str) -> str:
        """Return the condition on an expression."""
        return self.code.replace("{x}", f"({x})")

    def fails_on(self, x: str) -> str:
        """Return the opposite condition."""
        return self.negated.replace("{x}", f"({x})")

    def predicate(self, rng: Random, plural: bool = False) -> str:
        """Draw a verb phrase: `are even`, `ends in 7`."""
        be = "are" if plural else "is"
        options = [f"{be} {text}" for text in (*self.adjectives, *self.after)]
        options += [text if plural else _singular(text) for text in self.verbs]
        options += [f"are {many}" if plural else f"is a {one}" for many, one in self.nouns]
        return rng.choice(options)


@dataclass(frozen=True)
class Change:
    """An operation on one element.

    Attributes:
        name: The primitive.
        kind: Kind of the element.
        code: An expression of `{x}`.
        verbs: Verb phrases with `{it}`: `[multiply] {it} by 3`.
        nouns: Nouns for the result, (plural, singular): `squares`; may be empty.
        to: Kind of the result.
        measured: Also sensible for prices, ages and the like.
    """

    name: str
    kind: str
    code: str
    verbs: tuple[str, ...]
    nouns: tuple[tuple[str, str], ...] = ()
    to: str = "number"
    measured: bool = False

    def on(self, x: str) -> str:
        """Return the expression for an element."""
        return self.code.replace("{x}", f"({x})")

    def verb(self, rng: Random, it: str) -> str:
        """Draw a verb phrase."""
        return rng.choice(self.verbs).replace("{it}", it)


CHECKS = [Check(n, k, **row) for k, rows in table("checks").items() for n, row in rows.items()]
CHANGES = [Change(n, k, **row) for k, rows in table("changes").items() for n, row in rows.items()]


def draw_check(rng: Random, kind: str = "number", measured: bool = False) -> Check:
    """Draw a check of elements of a kind."""
    return draw(rng, rng.choice([c for c in CHECKS if c.kind == kind and c.measured >= measured]))


def draw_change(rng: Random, kind: str = "number", to: str = "", measured: bool = False) -> Change:
    """Draw a change of elements of a kind; `to` is the kind of the result, if it matters."""
    fits = [c for c in CHANGES if c.kind == kind and c.to.startswith(to) and c.measured >= measured]
    return draw(rng, rng.choice(fits))


def named(role: str, *primitives: Check | Change | None) -> tuple[str, ...]:
    """Return `role:name` for each primitive that is not None."""
    return tuple(f"{role}:{primitive.name}" for primitive in primitives if primitive)


PrimitiveT = TypeVar("PrimitiveT", Check, Change)


def draw(rng: Random, primitive: PrimitiveT) -> PrimitiveT:
    """Draw the values of a primitive."""
    first, second = rng.sample(LETTERS, 2)
    values = {name: str(rng.choice(numbers)) for name, numbers in table("values").items()}
    values |= {"c": first, "e": second, "v": rng.choice(CITIES)}

    def fill_in(field: object) -> object:
        if isinstance(field, tuple):
            return tuple(fill_in(item) for item in field)
        if not isinstance(field, str) or "{" not in field:
            return field
        return re.sub(r"\{(\w)\}", lambda m: values.get(m[1], m[0]), field)

    fields = ("code", "negated", "after", "verbs", "nouns")
    kept = {name: fill_in(getattr(primitive, name)) for name in fields if hasattr(primitive, name)}
    return replace(primitive, **kept)  # type: ignore[arg-type]


def _singular(verb_phrase: str) -> str:
    """Convert a verb phrase to the singular: `end in 7` to `ends in 7`."""
    verb, _, rest = verb_phrase.partition(" ")
    verb = {"are": "is", "have": "has", "do": "does"}.get(verb, verb + "s")
    if rest.startswith("not ") and rest.endswith(("vowels", "spaces")):
        rest = "not a " + rest[4:-1]
    return f"{verb} {rest}"
