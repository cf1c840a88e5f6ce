"""A source of elements, in English and in Python."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from en2py.data.sources.tasks.inputs import caller
from en2py.data.sources.tasks.primitives import Change, Check
from en2py.data.sources.tasks.task import Task

# Sensible checks and changes for digits and for natural numbers.
DIGIT_CHECKS: tuple[str, ...] = ("even", "odd", "prime", "not_equal")
DIGIT_CHANGES: tuple[str, ...] = ("square", "cube", "double", "triple", "times", "plus", "string")
NATURAL_CHECKS = (*DIGIT_CHECKS, "divisible", "not_divisible", "ends_in")
NATURAL_CHECKS += ("greater", "at_least", "palindrome_number", "two_digits")
NATURAL_CHANGES = (*DIGIT_CHANGES, "minus", "remainder")
NATURAL_CHANGES += ("last_digit", "digit_sum", "halve", "negate", "binary")


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

    def allows(self, primitive: Check | Change) -> bool:
        """Return whether a primitive is sensible for these elements."""
        names = self.checks if isinstance(primitive, Check) else self.changes
        return not names or primitive.name in names

    def task(
        self,
        family: str,
        parts: tuple[str, ...],
        code: str,
        describe: Callable[[Random], str],
        how: tuple[str, ...] = ("",),
    ) -> Task:
        """Create a task from a program with one function of these elements."""
        name = code.partition("(")[0].removeprefix("def ")
        return Task(
            family=family,
            parts=(f"over:{self.name}", *parts),
            code=code,
            describe=describe,
            call=caller(name, self.inputs, code),
            takes=self.takes,
            outside=self.outside,
            inside=self.inside,
            how=how,
        )
