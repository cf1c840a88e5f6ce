"""Tasks that check a whole stream: any, all, comparisons of totals."""

from random import Random

from en2py.data.sources.tasks.collectors import collectors
from en2py.data.sources.tasks.english import QUESTIONS
from en2py.data.sources.tasks.primitives import draw_change, draw_check, named
from en2py.data.sources.tasks.sources import Source, amounts, draw_source, number_list
from en2py.data.sources.tasks.stages import Stages, draw_stages, is_trivial, kept, phrase
from en2py.data.sources.tasks.streams import HOW, clauses
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, fill, function, guarded

# Words for the totals: `the {sum} of the squares`.
REDUCTIONS = {"sum": "sum of the", "product": "product of the", "count": "number of"}
REDUCTIONS |= {"max": "largest of the", "min": "smallest of the"}


def question(rng: Random) -> Task | None:
    """Check whether any or all elements pass: "whether all even numbers are greater than 5"."""
    source = draw_source(rng)
    which = rng.choice(("any", "all"))
    style = rng.choice(("short", "short", "loop"))
    first = draw_check(rng, source.kind, source.measured) if rng.random() < 0.5 else None
    change = draw_change(rng, source.kind) if rng.random() < 0.3 and not source.measured else None
    check = draw_check(rng, change.to if change else source.kind, source.measured)
    if change and (not change.nouns or is_trivial(change, check) or not source.allows(change)):
        return None
    if not change and not source.allows(check) or (first and not source.allows(first)):
        return None
    if not source.is_plain or (first and first.name == check.name):
        return None
    x, value = source.var, change.on(source.var) if change else source.var
    test = check.on(value)
    given = f" if {first.on(x)}" if first else ""
    early = which == "any"  # the result at the first decisive element
    if style == "short":
        body = [f"return {which}({test} for {x} in {source.code}{given})"]
    else:
        ends = check.fails_on(value) if which == "all" else test
        inner = guarded(first.on(x) if first else "", guarded(ends, f"return {early}"))
        body = [source.loop(inner), f"return {not early}"]
    code = function(f"check_{which}", source.params, *body)

    def describe(rng: Random) -> str:
        each = "any" if which == "any" else rng.choice(("each", "every"))
        subject = kept(rng, source, first, each=each)
        if change:
            subject = f"the {change.nouns[0][1]} of {subject}"
        verb = rng.choice(QUESTIONS)
        return f"{verb} {subject} {check.predicate(rng)}"

    parts = (*named("filter", first), *named("by", change), which, f"filter:{check.name}")
    return source.task(f"{which} of {source.name}", parts, code, describe, how=HOW[style])


def total(source: Source, stages: Stages, name: str) -> str:
    """Return an expression for one of the REDUCTIONS of a stream."""
    (collector,) = collectors(name)
    if stages.order == "plain":
        return fill(collector.lazy[0], source=source.code).removeprefix("return ")
    return fill(collector.short[0], each=clauses(source, stages)).removeprefix("return ")


def comparison(rng: Random) -> Task | None:
    """Check a total: "whether the sum of the squares is greater than 50"."""
    source = draw_source(rng)
    name = rng.choice([*REDUCTIONS])
    orders = ("filter",) if name == "count" else ("filter", "map", "filter map")
    stages = draw_stages(rng, source, orders)
    check = draw_check(rng, measured=rng.random() < 0.5)
    if stages is None or not stages.nameable or check.name in ("prime", "palindrome_number"):
        return None
    if name != "count" and stages.kind(source) != "number":
        return None
    code = function("check_value", source.params, f"return {check.on(total(source, stages, name))}")

    def describe(rng: Random) -> str:
        what = f"{rng.choice(QUESTIONS)} the {REDUCTIONS[name]} {phrase(rng, source, stages)}"
        return f"{what} {check.predicate(rng)}"

    parts = (*stages.parts, name, f"check:{check.name}")
    return source.task(f"check {name} of {source.name}", parts, code, describe)


def two_totals(rng: Random) -> Task | None:
    """Combine two totals: "the difference between the sum of the even and of the odd numbers"."""
    source = rng.choice((number_list, number_list, amounts))(rng)
    names = rng.sample(("sum", "count", "max", "min", "product"), 2)
    names = rng.choice((names, names[:1] * 2, names[:1] * 2))
    orders = {"count": ("filter",)}
    one, two = (
        draw_stages(rng, source, orders.get(name, ("filter", "map", "plain"))) for name in names
    )
    if one is None or two is None or not (one.nameable and two.nameable):
        return None
    kinds = {one.kind(source), two.kind(source)}
    if kinds != {"number"} or (names[0] == names[1] and one.parts == two.parts):
        return None
    name, op, verbs, glue = rng.choice(table("operations")["two_totals"])
    first, second = total(source, one, names[0]), total(source, two, names[1])
    code = function("compare_parts", source.params, f"return ({first} {op} {second})")

    def describe(rng: Random) -> str:
        first, second = (
            f"the {REDUCTIONS[reduction]} {phrase(rng, source, stages)}"
            for stages, reduction in zip((one, two), names, strict=True)
        )
        return f"{rng.choice(verbs)} {first.replace('{where}', '')} {glue} {second}"

    parts = (name, *one.parts, names[0], *two.parts, names[1])
    return source.task(f"two totals of {source.name}", parts, code, describe)
