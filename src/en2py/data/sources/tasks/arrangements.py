"""Tasks that arrange elements: as a dictionary, in groups, in an order, as running totals."""

from random import Random

from en2py.data.sources.tasks.english import FIND
from en2py.data.sources.tasks.primitives import Change, Check, draw_change, draw_check, named
from en2py.data.sources.tasks.sources import Source, amounts, draw_source, number_list
from en2py.data.sources.tasks.stages import draw_stages, kept, phrase
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, fill, function, guarded


def dictionary(rng: Random) -> Task | None:
    """Map elements to changed elements in a dictionary: "each even number to its square"."""
    source = draw_source(rng)
    stages = draw_stages(rng, source, ("map", "filter map", "filter map"))
    if stages is None or stages.change is None or not stages.change.nouns or source.measured:
        return None
    if not source.is_plain or source.name == "dict_keys":
        return None
    change, x = stages.change, source.var
    test = f" if {stages.condition(x)}" if stages.check else ""
    line = f"return {{{x}: {change.on(x)} for {x} in {source.code}{test}}}"
    code = function("make_dict", source.params, line)

    def describe(rng: Random) -> str:
        many, one = change.nouns[0]
        if rng.random() < 0.5:
            each = kept(rng, source, stages.check, each=rng.choice(("each", "every")))
            openings = ("[map]", "[return] a dictionary that maps", "[build] a dictionary from")
            return f"{rng.choice(openings)} {each} to its {one}"
        opening = rng.choice(("[return] a dictionary with", "[create] a dictionary of"))
        return f"{opening} the {kept(rng, source, stages.check)} and their {many}"

    return source.task(f"dictionary of {source.name}", (*stages.parts, "dict"), code, describe)


def draw_key(rng: Random, *unusual: str) -> tuple[Source, Change, Check | None] | None:
    """Draw a source, a key of its elements and a check; None if they do not fit together."""
    source = draw_source(rng)
    key = draw_change(rng, source.kind)
    check = draw_check(rng, source.kind, source.measured) if rng.random() < 0.75 else None
    if not key.nouns or (check and not source.allows(check)) or not source.allows(key):
        return None
    if not source.is_plain or key.name in ("double", "factorial", *unusual):
        return None
    return source, key, check


def grouping(rng: Random) -> Task | None:
    """Group or count elements by a key: "group the even numbers by their last digit"."""
    if (drawn := draw_key(rng)) is None:
        return None
    source, key, check = drawn
    x, count = source.var, rng.random() < 0.4
    if count:
        inner, name = f"key = {key.on(x)}\nresult[key] = result.get(key, 0) + 1", "count_by"
    else:
        inner, name = f"result.setdefault({key.on(x)}, []).append({x})", "group_by"
    inner = guarded(check.on(x) if check else "", inner)
    code = function(name, source.params, "result = {}", source.loop(inner), "return result")

    def describe(rng: Random) -> str:
        verb = rng.choice(("[count]",) if count else ("[group]", "[group]", "[collect]"))
        by = rng.choice((f"by {key.nouns[0][1]}", f"by their {key.nouns[0][1]}"))
        end = rng.choice(("", " in a dictionary"))
        return f"{verb} the {kept(rng, source, check)} {by}{end}"

    parts = (*named("filter", check), name, f"by:{key.name}")
    return source.task(f"{name} of {source.name}", parts, code, describe)


def order(rng: Random) -> Task | None:
    """Sort by a key, or find the element with the largest key."""
    if (drawn := draw_key(rng, "cube", "char_code")) is None:
        return None
    source, key, check = drawn
    x, kind = source.var, rng.choice(("sort", "sort_down", "largest", "smallest"))
    inner = f"[{x} for {x} in {source.code} if {check.on(x)}]" if check else source.code
    call = {"sort": "sorted", "sort_down": "sorted", "largest": "max", "smallest": "min"}[kind]
    by = "len" if key.code == "len({x})" else f"lambda {x}: {key.on(x)}"
    down = ", reverse=True" if kind == "sort_down" else ""
    code = function(f"{kind}_by", source.params, f"return {call}({inner}, key={by}{down})")

    def describe(rng: Random) -> str:
        noun = key.nouns[0][1]
        if call == "sorted":
            by = rng.choice((f"by {noun}", f"by their {noun}"))
            end = " in descending order" if down else rng.choice(("", " in ascending order"))
            return f"[sort] the {kept(rng, source, check)} {by}{end}"
        verb = rng.choice(FIND)
        most = rng.choice(("largest", "highest") if call == "max" else ("smallest", "lowest"))
        return f"[{verb}] {kept(rng, source, check, which='the')} with the {most} {noun}"

    parts = (*named("filter", check), f"by:{key.name}", f"order:{kind}")
    return source.task(f"{kind} by of {source.name}", parts, code, describe)


def running(rng: Random) -> Task | None:
    """List the total after each element: "the running totals of the squares"."""
    source = rng.choice((number_list, number_list, amounts, draw_source))(rng)
    stages = draw_stages(rng, source, ("filter", "map", "filter map", "plain"))
    if stages is None or not stages.nameable or not source.is_plain:
        return None
    if {source.kind, stages.kind(source)} != {"number"}:
        return None
    name, step, phrases, start = rng.choice(table("operations")["running"])
    inner = f"{fill(step, v=stages.value(source.var))}\nresult.append({name})"
    inner = guarded(stages.condition(source.var), inner)
    lines = [f"{name} = {start}", "result = []", source.loop(inner), "return result"]
    code = function("get_running", source.params, *lines)

    def describe(rng: Random) -> str:
        verb = rng.choice(("find", "return", "compute", "list"))
        return f"[{verb}] the {rng.choice(phrases)} of the {phrase(rng, source, stages)}"

    parts = (*stages.parts, f"running:{name}")
    return source.task(f"running {name} of {source.name}", parts, code, describe)
