"""The collectors: what a stream of elements becomes, for example a sum, a list or a string."""

from dataclasses import dataclass

from en2py.data.sources.tasks.tables import table


@dataclass(frozen=True)
class Collector:
    """A way to collect a stream, in English and in the styles of code.

    Attributes:
        family: The primitive.
        name: Name of the function.
        kinds: Kinds of elements that it can collect.
        orders: Orders of stages (see `Stages`) that it may follow.
        phrases: Clauses around `{np}`, `squares of the even numbers in a list`.
        then: Clauses about "the results" of steps in the words before.
        short: Lines around `{each}`, `x for x in numbers`; empty if there is no short form.
        lazy: Lines around `{source}`, any iterable.
        start: Lines before a loop.
        step: Statements for each element of a loop, with `{value}`; empty if there is no loop.
        end: Lines after the loop.
        join: Result of the recursion from `{value}` and the result for the `{rest}`; may be empty.
        unit: Result of the recursion for no elements.
        ordinal: `first` or `last` if the result is this element.
    """

    family: str
    name: str
    kinds: tuple[str, ...]
    orders: tuple[str, ...]
    phrases: tuple[str, ...]
    then: tuple[str, ...]
    short: tuple[str, ...] = ()
    lazy: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    step: str = ""
    end: tuple[str, ...] = ()
    join: str = ""
    unit: str = ""
    ordinal: str = ""


COLLECTORS = [Collector(name, **row) for name, row in table("collectors")["collectors"].items()]
YIELD = Collector("list", **table("collectors")["generator"])  # builds no list, so not among them


def collectors(*families: str) -> list[Collector]:
    """Return some collectors in the order of the table."""
    return [collector for collector in COLLECTORS if collector.family in families]
