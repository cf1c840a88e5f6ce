"""The sources of streams: lists, ranges, digits, divisors, dictionaries, texts, tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from en2py.data.sources.tasks.primitives import Change, Check
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, block, fill


@dataclass(frozen=True)
class Source:
    """A source of the elements of a stream.

    Attributes:
        name: The primitive.
        kind: Kind of the elements: `number`, `word`, `char` and others.
        noun: Noun for an element.
        code: The iterable.
        inputs: Kinds of the arguments.
        takes: Phrases for the input: `a list of numbers`.
        outside: Phrases for the place of the elements if the input is not named before.
        inside: The same if it is.
        nouns: Plural of the noun; regular by default.
        var: Variable for an element; the noun by default.
        params: Parameters of the function; the iterable by default.
        outer: A loop around this one, `for row in rows`; may be empty.
        condition: Condition on the elements of the source; may be empty.
        counter: A `while` loop: the line before, the condition, first and last line of the body.
        recursion: The condition of no elements, the first element, the rest; may be empty.
        recurs: Families of collectors for which recursion is natural.
        backwards: Whether the `while` loop starts at the last element.
        measured: Whether elements are prices or the like.
        checks: Names of the sensible checks; empty for all.
        changes: Names of the sensible changes; empty for all.
    """

    name: str
    kind: str
    noun: str
    code: str
    inputs: tuple[str, ...]
    takes: tuple[str, ...]
    outside: tuple[str, ...]
    inside: tuple[str, ...]
    nouns: str = ""
    var: str = ""
    params: str = ""
    outer: str = ""
    condition: str = ""
    counter: tuple[str, ...] = ()
    recursion: tuple[str, ...] = ()
    recurs: tuple[str, ...] = ()
    backwards: bool = False
    measured: bool = False
    checks: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        defaults = {"nouns": f"{self.noun}s", "var": self.noun, "params": self.code}
        for name, default in defaults.items():
            object.__setattr__(self, name, getattr(self, name) or default)

    @property
    def is_plain(self) -> bool:
        """Whether the elements are those of one iterable, without another loop or a condition."""
        return not self.outer and not self.condition

    def allows(self, primitive: Check | Change) -> bool:
        """Return whether a primitive is sensible for these elements."""
        names = self.checks if isinstance(primitive, Check) else self.changes
        return not names or primitive.name in names

    def loop(self, body: str) -> str:
        """Return a `for` loop over the elements."""
        inner = f"for {self.var} in {self.code}:\n{block([body])}"
        return f"{self.outer}:\n{block([inner])}" if self.outer else inner

    def task(
        self,
        family: str,
        parts: tuple[str, ...],
        code: str,
        describe: Callable[[Random], str],
        **more: Any,
    ) -> Task:
        """Create a task from a program with one function of these elements.

        The parts are the primitives after this source.
        """
        return Task(
            family=family,
            parts=(f"over:{self.name}", *parts),
            code=code,
            describe=describe,
            inputs=self.inputs,
            takes=self.takes,
            outside=self.outside,
            inside=self.inside,
            **more,
        )


# Nouns for the numbers in a list. Prices and the like are only compared, added and multiplied.
NUMBER_NOUNS = ("number",) * 5 + ("integer", "value")
MEASURED_NOUNS = ("score", "price", "mark", "age", "temperature")
WORD_NOUNS = ("word",) * 3 + ("string", "name")
LIST_NAMES = ("nums", "data", "items")
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}


def with_words(name: str, measured: bool = False, **words: object) -> Source:
    """Return the source of a name in the table `drawn_sources`, with these words."""

    def filled(value: Any) -> Any:
        return tuple(map(filled, value)) if isinstance(value, tuple) else fill(value, **words)

    row = table("drawn_sources")[name]
    return Source(name, measured=measured, **{key: filled(row[key]) for key in row})


def number_list(rng: Random) -> Source:
    """Draw a list of numbers."""
    measured = rng.random() < 0.2
    noun = rng.choice(MEASURED_NOUNS if measured else NUMBER_NOUNS)
    called = rng.choice(LIST_NAMES) if rng.random() < 0.12 else ""
    words = {"called": called or f"{noun}s", "which": f" called {called}" if called else ""}
    kind = "measures" if measured else "numbers"
    return with_words("list", measured, noun=noun, inputs=kind, **words)


def part_of_numbers(rng: Random, name: str) -> Source:
    """Draw the first elements of a list of numbers, or the last ones."""
    noun, n = rng.choice(NUMBER_NOUNS), rng.choice([*COUNTS])
    return with_words(name, noun=noun, n=n, count=COUNTS[n])


def word_list(rng: Random) -> Source:
    """Draw a list of words."""
    return with_words("words", noun=rng.choice(WORD_NOUNS))


def entries(rng: Random, name: str = "dict") -> Source:
    """Draw the entries of a dictionary of names and prices, or of keys and values."""
    if rng.random() < 0.5:
        noun = rng.choice(MEASURED_NOUNS)
        words = {"noun": noun, "key": "name", "params": f"{noun}s", "of": f" of {noun}s"}
        return with_words(name, measured=True, inputs="prices", **words)
    return with_words(name, noun="value", key="key", params="data", of="", inputs="amounts")


amounts = partial(entries, name="dict_values")  # the values of a dictionary

_ROWS = {name: {"weight": 1, **row} for name, row in table("sources").items()}
_WEIGHTS = {name: row.pop("weight") for name, row in _ROWS.items()}
FIXED = {name: Source(name, **row) for name, row in _ROWS.items()}
_OFTEN = [source for name, source in FIXED.items() for _ in range(_WEIGHTS[name])]


def draw_fixed(rng: Random) -> Source:
    """Draw a source that is always alike."""
    return rng.choice(_OFTEN)


DRAWERS: tuple[Callable[[Random], Source], ...] = (
    *(number_list, number_list, number_list),
    *(partial(part_of_numbers, name=name) for name in ("first_part", "last_part")),
    amounts,
    *(word_list, word_list, *(draw_fixed for _ in _OFTEN)),
)


def draw_source(rng: Random) -> Source:
    """Draw a source."""
    return rng.choice(DRAWERS)(rng)
