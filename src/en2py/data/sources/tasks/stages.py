"""What happens to the elements of a stream between source and collector, and how that is said."""

from dataclasses import dataclass
from random import Random

from en2py.data.sources.tasks.changes import draw_change
from en2py.data.sources.tasks.checks import draw_check
from en2py.data.sources.tasks.primitives import Change, Check
from en2py.data.sources.tasks.source import Source

ORDERS: tuple[str, ...] = ("plain",) + ("filter",) * 4 + ("map",) * 3 + ("filter map",) * 7
ORDERS += ("map filter",) * 3 + ("property",) * 3

# Checks that tell nothing new about what these changes leave: a last digit is never above 20.
SMALL = ("last_digit", "n_digits", "remainder", "length", "digit_sum", "count_letter")
SMALL_CHECKS = ("even", "odd", "prime", "divisible", "not_equal")
NEVER = (("remainder", "divisible"), ("last_digit", "divisible"), ("n_digits", "divisible"))
NEVER_NEGATIVE = ("square", "absolute", "factorial")
LETTERS = ("first_letter", "last_letter", "binary", "string", "char_code")
# Nouns that may stay unsaid: "the vowels in a string", but not "the palindromes of a number".
GENERIC: tuple[str, ...] = (
    "number",
    "numbers",
    "integer",
    "integers",
    "word",
    "words",
    "string",
    "strings",
)
GENERIC += ("character", "characters")


@dataclass(frozen=True)
class Stages:
    """What happens to the elements between source and collector.

    Attributes:
        order: `plain`, `filter`, `map`, `filter map`, `map filter` (the check looks at the changed
            element) or `property` (it looks at the changed one, but the element itself is kept).
        check: Keeps the elements for which it holds.
        change: Is applied to each element that is kept.
    """

    order: str
    check: Check | None = None
    change: Change | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Name the stages, in their order."""
        filters = (f"filter:{self.check.name}",) if self.check else ()
        maps = (f"map:{self.change.name}",) if self.change else ()
        if self.order == "property" and self.change:
            return (f"by:{self.change.name}", *filters)
        return maps + filters if self.order == "map filter" else filters + maps

    @property
    def nameable(self) -> bool:
        """Tell whether a noun says it: "squares" does, "numbers increased by 3" would not."""
        return self.order != "map filter" and (self.change is None or bool(self.change.nouns))

    def value(self, x: str) -> str:
        """Write what is gathered for an element."""
        return self.change.on(x) if self.change and self.order != "property" else x

    def opposite(self, x: str) -> str:
        """Write what holds for the elements that are not kept."""
        if self.check is None:
            return "False"
        late = self.order in ("map filter", "property")
        return self.check.fails_on(self.change.on(x) if self.change and late else x)

    def condition(self, x: str) -> str:
        """Write the condition on an element; empty where all are kept."""
        if self.check is None:
            return ""
        late = self.order in ("map filter", "property")
        return self.check.on(self.change.on(x) if self.change and late else x)


def draw_stages(rng: Random, source: Source, orders: tuple[str, ...] = ORDERS) -> Stages | None:
    """Draw stages for the elements of a source; None where this draw makes no sense."""
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
        if idle(change, check) or (order == "property" and not change.nouns):
            return None
    elif check and source.checks and check.name not in source.checks:
        return None
    return Stages(order, check, change)


def idle(change: Change, check: Check) -> bool:
    """Tell whether a check on what a change leaves would be an odd thing to ask for."""
    if change.name in SMALL:
        return check.name not in SMALL_CHECKS or (change.name, check.name) in NEVER
    if change.name in NEVER_NEGATIVE and check.name in ("positive", "negative", "prime"):
        return True
    if change.name in ("double", "times") and check.name in ("even", "odd", "prime"):
        return True
    return change.name in LETTERS


def kept(
    rng: Random, source: Source, check: Check | None, *, which: str = "", each: str = ""
) -> str:
    """Draw words for the elements that pass.

    Args:
        rng: Draws among the word orders.
        source: Where the elements come from.
        check: What they pass; None for all of them.
        which: `first`, `last`: one element is meant.
        each: `each`, `every`: all, one by one.

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
    """Draw a noun phrase for what is gathered: `squares of the even numbers{where}`."""
    check, change = stages.check, stages.change
    if stages.order == "property" and check and change:
        owner = kept(rng, source, None, which=which)
        return f"{owner} whose {change.nouns[0][1]} {check.predicate(rng, False)}"
    inner = kept(rng, source, check, which=which)
    return inner if change is None else f"{change.nouns[0][bool(which)]} of the {inner}"


def steps(rng: Random, source: Source, stages: Stages) -> str:
    """Draw clauses that do one thing after the other: `[square] each even number{where}`."""
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
