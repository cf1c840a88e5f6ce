"""Tasks on lists: positions, partition, replacement, early stop, nested lists."""

from random import Random

from en2py.data.sources.tasks.collectors import collectors
from en2py.data.sources.tasks.english import FIND
from en2py.data.sources.tasks.primitives import draw_change, draw_check, named
from en2py.data.sources.tasks.sources import Source, number_list, word_list
from en2py.data.sources.tasks.stages import draw_stages, kept, phrase
from en2py.data.sources.tasks.streams import HOW
from en2py.data.sources.tasks.task import FUNCTION, Task, block, either, fill, function, guarded


def draw_list(rng: Random) -> Source:
    """Draw a list of numbers or of words."""
    return rng.choice((number_list, number_list, word_list))(rng)


def position(rng: Random) -> Task | None:
    """Find positions: "the index of the first even number, or -1 if there is none"."""
    source = draw_list(rng)
    stages = draw_stages(rng, source, ("filter", "filter", "property"))
    if stages is None:
        return None
    x, test = source.var, stages.condition(source.var)
    many = rng.random() < 0.5
    if many:
        lines = [f"return [i for i, {x} in enumerate({source.code}) if {test}]"]
    else:
        inner = guarded(test, "return i")
        lines = [f"for i, {x} in enumerate({source.code}):\n{block([inner])}", "return -1"]
    code = function("find_indexes" if many else "find_index", source.params, *lines)

    def describe(rng: Random) -> str:
        verb = rng.choice(FIND)
        if many:
            noun = rng.choice(("indexes", "positions", "indices"))
            return f"[{verb}] the {noun} of the {phrase(rng, source, stages)}"
        noun = rng.choice(("index", "position"))
        end = rng.choice((", or -1 if there is none", " or -1 if there is none", ""))
        return f"[{verb}] the {noun} of the {phrase(rng, source, stages, 'first')}{end}"

    name = "indexes" if many else "index"
    return source.task(f"{name} in {source.name}", (*stages.parts, name), code, describe)


def partition(rng: Random) -> Task | None:
    """Split a list in two: "the even numbers and the others"."""
    source = draw_list(rng)
    stages = draw_stages(rng, source, ("filter", "filter", "property"))
    if stages is None:
        return None
    x, test = source.var, stages.condition(source.var)
    loop = rng.random() < 0.5
    result = rng.choice(("", "sum", "len") if source.kind == "number" else ("", "len"))
    if loop:
        inner = either(test, f"chosen.append({x})", f"others.append({x})")
        lines = ["chosen = []", "others = []", source.loop(inner)]
        how = HOW["loop"]
    else:
        lines = [f"chosen = [{x} for {x} in {source.code} if {test}]"]
        lines += [f"others = [{x} for {x} in {source.code} if {stages.opposite(x)}]"]
        how = ("with list comprehensions", "using list comprehensions")
    lines += [f"return {result}(chosen), {result}(others)" if result else "return chosen, others"]
    code = function("split_list", source.params, *lines)

    def describe(rng: Random) -> str:
        verb = rng.choice(("[separate]", "[split] off"))
        rest = rng.choice(("from the others", "from the rest"))
        first = f"{verb} the {phrase(rng, source, stages)} {rest}"
        if not result:
            return first + rng.choice((" and [return] both lists", ""))
        return f"{first} and [return] the {'sums' if result == 'sum' else 'lengths'} of both lists"

    parts = ("partition", *stages.parts, *((f"both:{result}",) if result else ()))
    return source.task(f"partition of {source.name}", parts, code, describe, how=how)


def replacement(rng: Random) -> Task | None:
    """Change some elements, and keep or change the others."""
    source = draw_list(rng)
    kind, measured = source.kind, source.measured
    check = draw_check(rng, kind, measured)
    change = draw_change(rng, kind, kind, measured)
    other = draw_change(rng, kind, kind, measured) if rng.random() < 0.5 else None
    changes = [change.name, *([other.name] if other else [])]
    if len({*changes}) < len(changes) or "remainder" in changes:
        return None
    x = source.var
    left, right = change.on(x), other.on(x) if other else x
    style = rng.choice(("short", "loop"))
    if style == "short":
        lines = [f"return [{left} if {check.on(x)} else {right} for {x} in {source.code}]"]
    else:
        inner = either(check.on(x), f"result.append({left})", f"result.append({right})")
        lines = ["result = []", source.loop(inner), "return result"]
    code = function("change_list", source.params, *lines)

    def describe(rng: Random) -> str:
        first = change.verb(rng, f"the {kept(rng, source, check)}")
        if other:
            return f"{first} and {other.verb(rng, rng.choice(('all others', 'the others')))}"
        rest = ("and [leave] the others unchanged", "and [keep] the others as they are")
        return f"{first} {rng.choice(rest)}"

    parts = (f"filter:{check.name}", "replace", f"map:{change.name}", *named("else", other))
    return source.task(f"replace in {source.name}", parts, code, describe, how=HOW[style])


def until(rng: Random) -> Task | None:
    """Stop early: "add up the squares of the numbers before the first negative one"."""
    source = draw_list(rng)
    stop = draw_check(rng, source.kind, source.measured)
    stages = draw_stages(rng, source, ("plain", "filter", "map", "filter map"))
    if stages is None or (stages.check and stages.check.name == stop.name) or not stages.nameable:
        return None
    collector = rng.choice(collectors("sum", "product", "count", "list", "max"))
    if collector.family == "count" and stages.change:
        return None
    if stages.kind(source) not in collector.kinds:
        return None
    x = source.var
    step = guarded(stages.condition(x), fill(collector.step, value=stages.value(x)))
    body = f"if {stop.on(x)}:\n    break\n{step}"
    lines = (*collector.start, source.loop(body), *collector.end)
    code = function(collector.name, source.params, *lines)

    def describe(rng: Random) -> str:
        clause = fill(rng.choice(collector.phrases), np=phrase(rng, source, stages))
        before = kept(rng, source, stop, which="the first")
        return f"{clause} before {before.replace('{where}', '')}"

    parts = (f"until:{stop.name}", *stages.parts, collector.family)
    return source.task(f"{collector.family} until in {source.name}", parts, code, describe)


def nested(rng: Random) -> Task | None:
    """Process nested lists: "the sum of the even numbers in a nested list"."""
    source = number_list(rng)
    if source.measured or "called" in source.takes[0]:
        return None
    stages = draw_stages(rng, source, ("plain", "filter", "map", "filter map", "filter map"))
    collector = rng.choice(collectors("sum", "product", "count", "list"))
    if stages is None or not stages.nameable or (collector.family == "count" and stages.change):
        return None
    if stages.kind(source) != "number" and collector.family != "list":
        return None
    into = {"sum": "total +=", "product": "product *=", "count": "count +=", "list": "result +="}
    step = fill(collector.step, value=stages.value("item"))
    condition = stages.condition("item")
    other = f"elif {condition}" if condition else "else"
    deeper = f"if isinstance(item, list):\n    {into[collector.family]} {collector.name}(item)"
    body = f"{deeper}\n{other}:\n    {step}"
    lines = [*collector.start, f"for item in items:\n{block([body])}", *collector.end]
    return Task(
        family=f"nested {collector.family}",
        parts=("over:nested", *stages.parts, collector.family),
        code=function(collector.name, "items", *lines),
        describe=lambda rng: fill(rng.choice(collector.phrases), np=phrase(rng, source, stages)),
        inputs=("nested",),
        takes=("a nested list", f"a nested list of {source.nouns}"),
        outside=(" in a nested list",),
        inside=("", " in it"),
        what=(FUNCTION, "recursive {python}function"),
    )
