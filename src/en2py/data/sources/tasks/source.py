"""One kind of input: its elements, in English and in Python."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from en2py.data.sources.tasks.inputs import caller
from en2py.data.sources.tasks.primitives import Change, Check
from en2py.data.sources.tasks.task import Task

# What makes sense for digits, and for numbers that only count upwards.
DIGIT_CHECKS = ("even", "odd", "prime", "not_equal")
DIGIT_CHANGES = ("square", "cube", "double", "triple", "times", "plus", "string")
NATURAL_CHECKS: tuple[str, ...] = (
    "even",
    "odd",
    "prime",
    "not_equal",
    "divisible",
    "not_divisible",
    "ends_in",
)

NATURAL_CHECKS += ("greater", "at_least", "palindrome_number", "two_digits")
SMALL_CHANGES = (
    "square",
    "cube",
    "double",
    "triple",
    "times",
    "plus",
    "minus",
    "remainder",
    "string",
)
NATURAL_CHANGES = (*SMALL_CHANGES, "last_digit", "digit_sum", "halve", "negate", "binary")


@dataclass(frozen=True)
class Source:
    """Elements to go through.

    Attributes:
        name: The primitive.
        kind: What an element is: `number`, `word` or `char`.
        noun: An element in English.
        nouns: Several of them.
        var: An element in Python.
        code: What to iterate over.
        params: Parameters of the function.
        inputs: Kinds of the arguments.
        takes: Ways to name the input: `a list of numbers`.
        outside: Where the elements are, if the input has not been named yet: ` in a list`.
        inside: The same, if it has.
        outer: A loop around it, `for row in rows`; empty where there is none.
        condition: What an element must fulfil to belong to the source; empty where all do.
        counter: For a `while` loop: what goes before it, its condition, first line and last line.
        recursion: When nothing is left, the first element, the rest; empty where that has no form.
        recurs: Collectors for which recursion reads well.
        backwards: The `while` loop meets the last element first.
        measured: Elements are prices or the like.
        checks: Names of the checks that make sense; empty for all.
        changes: Names of the changes that make sense; empty for all.
    """

    name: str
    kind: str
    noun: str
    nouns: str
    var: str
    code: str
    params: str
    inputs: tuple[str, ...]
    takes: tuple[str, ...]
    outside: tuple[str, ...]
    inside: tuple[str, ...]
    outer: str = ""
    condition: str = ""
    counter: tuple[str, ...] = ()
    recursion: tuple[str, ...] = ()
    recurs: tuple[str, ...] = ()
    backwards: bool = False
    measured: bool = False
    checks: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    def allows(self, primitive: Check | Change) -> bool:
        """Tell whether a primitive makes sense for these elements."""
        names = self.checks if isinstance(primitive, Check) else self.changes
        return not names or primitive.name in names

    def task(
        self,
        family: str,
        parts: tuple[str, ...],
        code: str,
        say: Callable[[Random], str],
        how: tuple[str, ...] = ("",),
    ) -> Task:
        """Make a task of a program with one function over these elements."""
        name = code.partition("(")[0].removeprefix("def ")
        return Task(
            family=family,
            parts=(f"over:{self.name}", *parts),
            code=code,
            say=say,
            call=caller(name, self.inputs, code),
            takes=self.takes,
            outside=self.outside,
            inside=self.inside,
            how=how,
        )
