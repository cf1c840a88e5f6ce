"""Tasks on streams: elements of a source are filtered and changed, then collected.

"the sum of the squares of the even numbers in a list" is a source (a list), a filter (even), a map
(square) and a collector (sum). The same stream can be written as one expression, as a loop, with
recursion, or with `map` and `filter`; the description requests one of them.
"""

from random import Random

from en2py.data.sources.tasks.collectors import COLLECTORS, YIELD, Collector
from en2py.data.sources.tasks.sources import Source, draw_source
from en2py.data.sources.tasks.stages import Stages, draw_stages, phrase, steps
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import FUNCTION, Task, block, fill, function, guarded

_STYLES = table("styles")
HOW = {name: row["how"] for name, row in _STYLES.items()}
STYLES = [name for name, row in _STYLES.items() for _ in range(row["weight"])]
IN_ORDER = ("list", "first", "last", "string")  # collectors whose result depends on the order
SHORT_LIST = ("", "", "using a list comprehension", "with a list comprehension")


def describe(rng: Random, source: Source, stages: Stages, collector: Collector) -> str:
    """Draw a clause for a whole stream."""
    if stages.nameable and (stages.order in ("plain", "filter", "property") or rng.random() < 0.6):
        clause = rng.choice(collector.phrases)
        return fill(clause, np=phrase(rng, source, stages, collector.ordinal))
    return f"{steps(rng, source, stages)} and {rng.choice(collector.then)}"


def clauses(source: Source, stages: Stages) -> str:
    """Return the inside of a comprehension: `x ** 2 for x in numbers if x > 5`."""
    outer = f"{source.outer} " if source.outer else ""
    conditions = [c for c in (source.condition, stages.condition(source.var)) if c]
    test = f" if {' and '.join(f'({c})' for c in conditions)}" if conditions else ""
    return f"{stages.value(source.var)} {outer}for {source.var} in {source.code}{test}"


def short(source: Source, stages: Stages, collector: Collector) -> list[str]:
    """Write a stream as one expression."""
    if not collector.short:
        return loop(source, stages, collector)
    if stages.order == "plain" and source.is_plain:
        return [fill(line, source=source.code) for line in collector.lazy]
    return [fill(line, each=clauses(source, stages)) for line in collector.short]


def loop(source: Source, stages: Stages, collector: Collector) -> list[str]:
    """Write a stream as a `for` loop."""
    return [*collector.start, source.loop(_body(source, stages, collector.step)), *collector.end]


def while_loop(source: Source, stages: Stages, collector: Collector) -> list[str]:
    """Write a stream as a `while` loop over a counter or over the digits of a number."""
    before, test, take, move = source.counter
    lines = [line for line in (take, _body(source, stages, collector.step), move) if line]
    whole = f"while {test}:\n{block(lines)}"
    return [*collector.start, *([before] if before else []), whole, *collector.end]


def recursion(source: Source, stages: Stages, collector: Collector) -> list[str]:
    """Write a stream as a function that calls itself on all elements but the first."""
    empty, first, rest = source.recursion
    again = f"{collector.name}({rest})"
    joined = f"return {fill(collector.join, value=stages.value(first), rest=again)}"
    lines = [f"if {empty}:\n{block([f'return {collector.unit}'])}"]
    if condition := stages.condition(first):
        return [*lines, f"if {condition}:\n{block([joined])}", f"return {again}"]
    return [*lines, joined]


def functional(source: Source, stages: Stages, collector: Collector) -> list[str]:
    """Write a stream with `map` and `filter`."""
    x, code = source.var, source.code
    if stages.order == "map filter" and stages.check and stages.change:
        code = f"map(lambda {x}: {stages.change.on(x)}, {code})"
        code = f"filter(lambda {x}: {stages.check.on(x)}, {code})"
        return [fill(line, source=code) for line in collector.lazy]
    if condition := stages.condition(x):
        code = f"filter(lambda {x}: {condition}, {code})"
    if (value := stages.value(x)) != x:
        code = f"map(lambda {x}: {value}, {code})"
    return [fill(line, source=code) for line in collector.lazy]


def _body(source: Source, stages: Stages, step: str) -> str:
    """Return the body of a loop, inside its conditions."""
    line = fill(step, value=stages.value(source.var))
    return guarded(source.condition, guarded(stages.condition(source.var), line))


WRITERS = {
    "short": short,
    "loop": loop,
    "while": while_loop,
    "recursion": recursion,
    "functional": functional,
    "generator": loop,
}


def writable(style: str, source: Source, stages: Stages, collector: Collector) -> bool:
    """Return whether a style is possible and natural for a stream."""
    match style:
        case "short":
            return stages.order != "plain" or not source.is_plain or bool(collector.lazy)
        case "loop":
            return bool(collector.step) and bool(collector.short)
        case "while":
            turned = source.backwards and collector.family in IN_ORDER
            return bool(collector.step and collector.short and source.counter) and not turned
        case "recursion":
            return bool(collector.join and source.recursion) and collector.family in source.recurs
        case "functional":
            return bool(collector.lazy) and source.is_plain and stages.order != "plain"
        case _:
            return collector.family == "list" and source.name != "first_part"


def stream(rng: Random) -> Task | None:
    """Draw a stream; None if its parts do not fit together."""
    collector, source, style = rng.choice(COLLECTORS), draw_source(rng), rng.choice(STYLES)
    stages = draw_stages(rng, source)
    if stages is None or stages.order not in collector.orders:
        return None
    if stages.kind(source) not in collector.kinds or not writable(style, source, stages, collector):
        return None
    if collector.ordinal and stages.change and not stages.nameable and stages.order == "property":
        return None
    if style == "generator":
        collector = YIELD
    lines = WRITERS[style](source, stages, collector)
    code = function(collector.name, source.params, *lines)
    return source.task(
        f"{collector.family} of {source.name}",
        (*stages.parts, collector.family),
        code,
        lambda rng: describe(rng, source, stages, collector),
        call=f"list({collector.name}({{arguments}}))" if style == "generator" else "",
        what=_STYLES[style].get("what", (FUNCTION,)),
        how=SHORT_LIST if style == "short" and collector.family == "list" else HOW[style],
    )
