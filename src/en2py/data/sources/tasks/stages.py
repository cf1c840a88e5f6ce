"""The stages of a stream between source and collector, in code and in English."""

from dataclasses import dataclass
from random import Random

from en2py.data.sources.tasks.primitives import Change, Check, draw_change, draw_check
from en2py.data.sources.tasks.sources import Source

ORDERS: tuple[str, ...] = ("plain",) + ("filter",) * 4 + ("map",) * 3 + ("filter map",) * 7
ORDERS += ("map filter",) * 3 + ("property",) * 3

# After these changes most checks are trivial: a last digit is never above 20.
SMALL_RESULTS = ("last_digit", "n_digits", "remainder", "length", "digit_sum", "count_letter")
SMALL_CHECKS = ("even", "odd", "prime", "divisible", "not_equal")
IMPOSSIBLE = (("remainder", "divisible"), ("last_digit", "divisible"), ("n_digits", "divisible"))
NON_NEGATIVE = ("square", "absolute", "factorial")
LETTERS = ("first_letter", "last_letter", "binary", "string", "char_code")
# Nouns that may be omitted: "the vowels in a string", but not "the palindromes of a number".
_GENERIC = ("number", "integer", "word", "string", "character")
GENERIC = {*_GENERIC, *(f"{noun}s" for noun in _GENERIC)}


@dataclass(frozen=True)
class Stages:
    """A filter and a map between source and collector.

    Attributes:
        order: `plain`, `filter`, `map`, `filter map`, `map filter` (the check is of the changed
            element) or `property` (the same, but the unchanged element is kept).
        check: Condition on the elements.
        change: Applied to each element that is kept.
    """

    order: str
    check: Check | None = None
    change: Change | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the stages, in their order."""
        filters = (f"filter:{self.check.name}",) if self.check else ()
        maps = (f"map:{self.change.name}",) if self.change else ()
        if self.order == "property" and self.change:
            return (f"by:{self.change.name}", *filters)
        return maps + filters if self.order == "map filter" else filters + maps

    @property
    def nameable(self) -> bool:
        """Whether there is a noun for the result, like "squares" but not for "increased by 3"."""
        return self.order != "map filter" and (self.change is None or bool(self.change.nouns))

    def kind(self, source: Source) -> str:
        """Return the kind of what is collected."""
        return self.change.to if self.change and self.order != "property" else source.kind

    def value(self, x: str) -> str:
        """Return the expression that is collected for an element."""
        return self.change.on(x) if self.change and self.order != "property" else x

    def condition(self, x: str) -> str:
        """Return the condition on an element; empty if all are kept."""
        return self.check.on(self._checked(x)) if self.check else ""

    def opposite(self, x: str) -> str:
        """Return the condition on the elements that are not kept."""
        return self.check.fails_on(self._checked(x)) if self.check else "False"

    def _checked(self, x: str) -> str:
        late = self.order in ("map filter", "property")
        return self.change.on(x) if self.change and late else x


def draw_stages(rng: Random, source: Source, orders: tuple[str, ...] = ORDERS) -> Stages | None:
    """Draw stages for the elements of a source; None if they do not fit together."""
    order = rng.choice(orders)
    check = change = None
    kind = source.kind
    if order in ("filter", "filter map"):
        check = draw_check(rng, kind, source.measured)
    if order not in ("plain", "filter"):
        change = draw_change(rng, kind, measured=source.measured)
        if source.changes and change.name not in source.changes:
            return None
    if order in ("map filter", "property") and change:
        check = draw_check(rng, change.to)
        if is_trivial(change, check) or (order == "property" and not change.nouns):
            return None
    elif check and source.checks and check.name not in source.checks:
        return None
    return Stages(order, check, change)


def is_trivial(change: Change, check: Check) -> bool:
    """Return whether a check after a change is trivial or unnatural."""
    if change.name in SMALL_RESULTS:
        return check.name not in SMALL_CHECKS or (change.name, check.name) in IMPOSSIBLE
    if change.name in NON_NEGATIVE and check.name in ("positive", "negative", "prime"):
        return True
    if change.name in ("double", "times") and check.name in ("even", "odd", "prime"):
        return True
    return change.name in LETTERS


def kept(
    rng: Random, source: Source, check: Check | None, *, which: str = "", each: str = ""
) -> str:
    """Draw a phrase for the elements that are kept.

    Args:
        rng: Draws the word order.
        source: The source of the elements.
        check: The condition; None for all elements.
        which: `first` or `last` for a single element.
        each: `each` or `every`.

    Returns:
        `even numbers{where}`, `first number{where} that is greater than 5`.
    """
    one = bool(which or each)
    noun = source.noun if one else source.nouns
    lead = f"{which or each} " if one else ""
    if check is None:
        return f"{lead}{noun}{{where}}"
    options = [f"{lead}{text} {noun}{{where}}" for text in check.adjectives] * 4
    options += [f"{lead}{noun} {text}{{where}}" for text in check.after]
    that = "who" if source.kind == "person" else "that"
    options += [f"{lead}{noun}{{where}} {that} {check.predicate(rng, not one)}"]
    if noun in GENERIC:
        options += [f"{lead}{text[one]}{{where}}" for text in check.nouns] * 3
    return rng.choice(options)


def phrase(rng: Random, source: Source, stages: Stages, which: str = "") -> str:
    """Draw a noun phrase for the result: `squares of the even numbers{where}`."""
    check, change = stages.check, stages.change
    if stages.order == "property" and check and change:
        owner = kept(rng, source, None, which=which)
        return f"{owner} whose {change.nouns[0][1]} {check.predicate(rng)}"
    inner = kept(rng, source, check, which=which)
    return inner if change is None else f"{change.nouns[0][bool(which)]} of the {inner}"


def steps(rng: Random, source: Source, stages: Stages) -> str:
    """Draw clauses with one verb per stage: `[square] each even number{where}`."""
    check, change = stages.check, stages.change
    if change is None:
        return f"[select] the {kept(rng, source, check)}"
    each = rng.choice(("each", "every"))
    if stages.order == "map filter" and check:
        first = change.verb(rng, kept(rng, source, None, each=each))
        return f"{first}, [keep] the results that {check.predicate(rng, True)}"
    if check and rng.random() < 0.4:
        return f"[select] the {kept(rng, source, check)}, {change.verb(rng, 'each of them')}"
    return change.verb(rng, kept(rng, source, check, each=each))
