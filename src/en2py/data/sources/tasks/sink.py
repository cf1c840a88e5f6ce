"""One way to gather a stream, in English and in the ways to write it."""

from dataclasses import dataclass

# Orders of stages, see `Stages`.
ALL = ("plain", "filter", "map", "filter map", "map filter", "property")


@dataclass(frozen=True)
class Sink:
    """What becomes of a stream, in English and in the ways to write it.

    Attributes:
        family: The primitive.
        name: Name of a function that does it.
        kinds: What it can gather.
        says: Clauses around `{np}`, `squares of the even numbers in a list`.
        then: What to do with "the results" of steps told before.
        orders: Orders of stages that it makes sense after.
        short: Lines around `{each}`, `x for x in numbers`; empty where there is no short form.
        lazy: Lines around `{source}`, any iterable.
        start: Before a loop.
        step: For each element of a loop, with `{value}`; empty where there is no loop.
        end: After it.
        join: What recursion returns: `{value}` and the outcome for the `{rest}`; may be empty.
        unit: What recursion returns when nothing is left.
        ordinal: `first` where a single element is asked for.
    """

    family: str
    name: str
    kinds: tuple[str, ...]
    says: tuple[str, ...]
    then: tuple[str, ...]
    orders: tuple[str, ...] = ALL
    short: tuple[str, ...] = ()
    lazy: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    step: str = ""
    end: tuple[str, ...] = ()
    join: str = ""
    unit: str = ""
    ordinal: str = ""
