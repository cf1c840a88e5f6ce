"""Tasks on lists beyond plain streams: questions, positions, groups, orders, replacements."""

from random import Random

from en2py.data.sources.tasks.inputs import caller
from en2py.data.sources.tasks.primitives import draw_change, draw_check
from en2py.data.sources.tasks.sinks import SINKS
from en2py.data.sources.tasks.sources import (
    Source,
    amounts,
    draw_source,
    number_list,
    word_list,
)
from en2py.data.sources.tasks.stages import Stages, draw_stages, idle, kept, phrase
from en2py.data.sources.tasks.streams import HOW, clauses
from en2py.data.sources.tasks.task import Task, block, fill, function

REDUCTIONS = {
    "sum": "sum",
    "product": "product",
    "count": "number",
    "max": "largest",
    "min": "smallest",
}


def listed(rng: Random) -> Source:
    """Draw a list of numbers or of words."""
    return rng.choice((number_list, number_list, word_list))(rng)


def question(rng: Random) -> Task | None:
    """Ask whether any or all elements pass: "whether all even numbers are greater than 5"."""
    source = draw_source(rng)
    which = rng.choice(("any", "all"))
    style = rng.choice(("short", "short", "loop"))
    first = draw_check(rng, source.kind, source.measured) if rng.random() < 0.5 else None
    change = draw_change(rng, source.kind) if rng.random() < 0.3 and not source.measured else None
    check = draw_check(rng, change.to if change else source.kind, source.measured)
    if change and (not change.nouns or idle(change, check) or not source.allows(change)):
        return None
    if not change and not source.allows(check) or (first and not source.allows(first)):
        return None
    if source.outer or source.condition or (first and first.name == check.name):
        return None
    x, value = source.var, change.on(source.var) if change else source.var
    test = check.on(value)
    given = f" if {first.on(x)}" if first else ""
    early = which == "any"  # what the first telling element decides
    if style == "short":
        body = [f"return {which}({test} for {x} in {source.code}{given})"]
    else:
        ends = check.fails_on(value) if which == "all" else test
        inner = f"if {ends}:\n{block([f'return {early}'])}"
        inner = f"if {first.on(x)}:\n{block([inner])}" if first else inner
        body = [f"for {x} in {source.code}:\n{block([inner])}", f"return {not early}"]
    code = function(f"check_{which}", source.params, *body)

    def say(rng: Random) -> str:
        each = "any" if which == "any" else rng.choice(("each", "every"))
        subject = kept(rng, source, first, each=each)
        if change:
            subject = f"the {change.nouns[0][1]} of {subject}"
        verb = rng.choice(
            ("[check] whether", "[check] if", "[return] True if", "[determine] whether")
        )
        return f"{verb} {subject} {check.predicate(rng, False)}"

    return source.task(
        f"{which} of {source.name}",
        (*((f"filter:{first.name}",) if first else ()),)
        + (*((f"by:{change.name}",) if change else ()), which, f"filter:{check.name}"),
        code,
        say,
        how=HOW[style],
    )


def total(source: Source, stages: Stages, name: str) -> str:
    """Write one of the REDUCTIONS of a stream as an expression."""
    sink = next(sink for sink in SINKS if sink.family == name)
    if stages.order == "plain":
        return fill(sink.lazy[0], source=source.code).removeprefix("return ")
    return fill(sink.short[0], each=clauses(source, stages)).removeprefix("return ")


def comparison(rng: Random) -> Task | None:
    """Ask a question about a sum: "whether the sum of the squares is greater than 50"."""
    source = draw_source(rng)
    name = rng.choice([*REDUCTIONS])
    stages = draw_stages(
        rng, source, ("filter",) if name == "count" else ("filter", "map", "filter map")
    )
    check = draw_check(rng, "number", measured=rng.random() < 0.5)
    if stages is None or not stages.nameable or check.name in ("prime", "palindrome_number"):
        return None
    if name != "count" and (stages.change.to if stages.change else source.kind) != "number":
        return None
    code = function("check_value", source.params, f"return {check.on(total(source, stages, name))}")

    def say(rng: Random) -> str:
        verb = rng.choice(
            ("[check] whether", "[check] if", "[return] True if", "[determine] whether")
        )
        what = f"the {REDUCTIONS[name]} of {'' if name == 'count' else 'the '}"
        return f"{verb} {what}{phrase(rng, source, stages)} {check.predicate(rng, False)}"

    parts = (*stages.parts, name, f"check:{check.name}")
    return source.task(f"check {name} of {source.name}", parts, code, say)


def two_totals(rng: Random) -> Task | None:
    """Combine two sums: "the difference between the sum of the even and of the odd numbers"."""
    source = rng.choice((number_list, number_list, amounts))(rng)
    names = rng.sample(("sum", "count", "max", "min", "product"), 2)
    names = rng.choice((names, names[:1] * 2, names[:1] * 2))
    both = [
        draw_stages(rng, source, ("filter",) if name == "count" else ("filter", "map", "plain"))
        for name in names
    ]
    one, two = both
    if one is None or two is None or not (one.nameable and two.nameable):
        return None
    numbers = all(stages.change is None or stages.change.to == "number" for stages in (one, two))
    if not numbers or (names[0] == names[1] and one.parts == two.parts):
        return None
    op, name, verbs, glue = rng.choice(
        (
            (
                "-",
                "minus",
                ("[find] the difference between", "[return] the difference between"),
                "and",
            ),
            (
                ">",
                "exceeds",
                ("[check] whether", "[check] if", "[return] True if"),
                "is greater than",
            ),
            (",", "both", ("[return] a tuple with", "[find] both"), "and"),
        )
    )
    first, second = total(source, one, names[0]), total(source, two, names[1])
    code = function("compare_parts", source.params, f"return ({first} {op} {second})")

    def say(rng: Random) -> str:
        sides = []
        for stages, reduction in zip((one, two), names, strict=True):
            article = "" if reduction == "count" else "the "
            what = phrase(rng, source, stages)
            sides.append(f"the {REDUCTIONS[reduction]} of {article}{what}")
        first = sides[0].replace("{where}", "")
        return f"{rng.choice(verbs)} {first} {glue} {sides[1]}"

    parts = (name, *one.parts, names[0], *two.parts, names[1])
    return source.task(f"two totals of {source.name}", parts, code, say)


def position(rng: Random) -> Task | None:
    """Find where elements are: "the index of the first even number, or -1 if there is none"."""
    source = listed(rng)
    stages = draw_stages(rng, source, ("filter", "filter", "property"))
    if stages is None:
        return None
    x, test = source.var, stages.condition(source.var)
    many = rng.random() < 0.5
    if many:
        lines = [f"return [i for i, {x} in enumerate({source.code}) if {test}]"]
    else:
        inner = f"if {test}:\n{block(['return i'])}"
        lines = [f"for i, {x} in enumerate({source.code}):\n{block([inner])}", "return -1"]
    code = function("find_indexes" if many else "find_index", source.params, *lines)

    def say(rng: Random) -> str:
        verb = rng.choice(("find", "return", "get"))
        if many:
            noun = rng.choice(("indexes", "positions", "indices"))
            return f"[{verb}] the {noun} of the {phrase(rng, source, stages)}"
        noun = rng.choice(("index", "position"))
        end = rng.choice((", or -1 if there is none", " or -1 if there is none", ""))
        return f"[{verb}] the {noun} of the {phrase(rng, source, stages, 'first')}{end}"

    name = "indexes" if many else "index"
    return source.task(f"{name} in {source.name}", (*stages.parts, name), code, say)


def partition(rng: Random) -> Task | None:
    """Split a list in two: "the even numbers and the others"."""
    source = listed(rng)
    stages = draw_stages(rng, source, ("filter", "filter", "property"))
    if stages is None:
        return None
    x, test = source.var, stages.condition(source.var)
    loop = rng.random() < 0.5
    result = rng.choice(("", "sum", "len") if source.kind == "number" else ("", "len"))
    end = f"return {result}(chosen), {result}(others)" if result else "return chosen, others"
    if loop:
        branches = f"if {test}:\n    chosen.append({x})\nelse:\n    others.append({x})"
        lines = [
            "chosen = []",
            "others = []",
            f"for {x} in {source.code}:\n{block([branches])}",
            end,
        ]
    else:
        lines = [f"chosen = [{x} for {x} in {source.code} if {test}]"]
        lines += [f"others = [{x} for {x} in {source.code} if {stages.opposite(x)}]", end]
    code = function("split_list", source.params, *lines)

    def say(rng: Random) -> str:
        verb = rng.choice(("[separate]", "[split] off"))
        rest = rng.choice(("from the others", "from the rest"))
        first = f"{verb} the {phrase(rng, source, stages)} {rest}"
        if not result:
            return first + rng.choice((" and [return] both lists", ""))
        return f"{first} and [return] the {'sums' if result == 'sum' else 'lengths'} of both lists"

    return source.task(
        f"partition of {source.name}",
        ("partition", *stages.parts, *((f"both:{result}",) if result else ())),
        code,
        say,
        how=HOW["loop" if loop else "short"]
        if loop
        else ("with list comprehensions", "using list comprehensions"),
    )


def replacement(rng: Random) -> Task | None:
    """Change some elements and leave or change the others."""
    source = rng.choice((number_list, number_list, amounts, word_list))(rng)
    if source.name == "dict_values":
        return None
    check = draw_check(rng, source.kind, source.measured)
    same = source.kind
    change = draw_change(rng, same, to=same, measured=source.measured)
    other = (
        draw_change(rng, same, to=same, measured=source.measured) if rng.random() < 0.5 else None
    )
    if (
        other
        and other.name == change.name
        or "remainder" in (change.name, other.name if other else "")
    ):
        return None
    x = source.var
    left, right = change.on(x), other.on(x) if other else x
    style = rng.choice(("short", "loop"))
    if style == "short":
        lines = [f"return [{left} if {check.on(x)} else {right} for {x} in {source.code}]"]
    else:
        branches = (
            f"if {check.on(x)}:\n    result.append({left})\nelse:\n    result.append({right})"
        )
        lines = ["result = []", f"for {x} in {source.code}:\n{block([branches])}", "return result"]
    code = function("change_list", source.params, *lines)

    def say(rng: Random) -> str:
        first = change.verb(rng, f"the {kept(rng, source, check)}")
        if other:
            return f"{first} and {other.verb(rng, rng.choice(('all others', 'the others')))}"
        rest = ("and [leave] the others unchanged", "and [keep] the others as they are")
        return f"{first} {rng.choice(rest)}"

    parts: tuple[str, ...] = (f"filter:{check.name}", "replace", f"map:{change.name}")
    parts += (f"else:{other.name}",) if other else ()
    return source.task(f"replace in {source.name}", parts, code, say, how=HOW[style])


def dictionary(rng: Random) -> Task | None:
    """Make a dictionary of elements and what is made of them: "each even number to its square"."""
    source = draw_source(rng)
    stages = draw_stages(rng, source, ("map", "filter map", "filter map"))
    if stages is None or stages.change is None or not stages.change.nouns or source.measured:
        return None
    if source.outer or source.condition or source.name == "dict_keys":
        return None
    change, x = stages.change, source.var
    test = f" if {stages.condition(x)}" if stages.check else ""
    code = function(
        "make_dict", source.params, f"return {{{x}: {change.on(x)} for {x} in {source.code}{test}}}"
    )

    def say(rng: Random) -> str:
        many, one = change.nouns[0]
        if rng.random() < 0.5:
            each = kept(rng, source, stages.check, each=rng.choice(("each", "every")))
            opening = rng.choice(
                ("[map]", "[return] a dictionary that maps", "[build] a dictionary from")
            )
            return f"{opening} {each} to its {one}"
        opening = rng.choice(("[return] a dictionary with", "[create] a dictionary of"))
        return f"{opening} the {kept(rng, source, stages.check)} and their {many}"

    return source.task(f"dictionary of {source.name}", (*stages.parts, "dict"), code, say)


def grouping(rng: Random) -> Task | None:
    """Group or count elements by something: "group the even numbers by their last digit"."""
    source = draw_source(rng)
    key = draw_change(rng, source.kind)
    check = draw_check(rng, source.kind, source.measured) if rng.random() < 0.75 else None
    if not key.nouns or (check and not source.allows(check)) or not source.allows(key):
        return None
    if source.outer or source.condition or key.name in ("double", "factorial"):
        return None
    x, count = source.var, rng.random() < 0.4
    if count:
        inner, name = f"key = {key.on(x)}\nresult[key] = result.get(key, 0) + 1", "count_by"
    else:
        inner, name = f"result.setdefault({key.on(x)}, []).append({x})", "group_by"
    inner = f"if {check.on(x)}:\n{block([inner])}" if check else inner
    lines = ["result = {}", f"for {x} in {source.code}:\n{block([inner])}", "return result"]
    code = function(name, source.params, *lines)

    def say(rng: Random) -> str:
        verb = rng.choice(("[count]",) if count else ("[group]", "[group]", "[collect]"))
        by = rng.choice((f"by {key.nouns[0][1]}", f"by their {key.nouns[0][1]}"))
        end = rng.choice(("", " in a dictionary"))
        return f"{verb} the {kept(rng, source, check)} {by}{end}"

    parts = (*((f"filter:{check.name}",) if check else ()), name, f"by:{key.name}")
    return source.task(f"{name} of {source.name}", parts, code, say)


def order(rng: Random) -> Task | None:
    """Sort by something, or find the element where it is largest."""
    source = draw_source(rng)
    key = draw_change(rng, source.kind)
    check = draw_check(rng, source.kind, source.measured) if rng.random() < 0.75 else None
    if not key.nouns or (check and not source.allows(check)) or not source.allows(key):
        return None
    if source.outer or source.condition or key.name in ("double", "cube", "factorial", "char_code"):
        return None
    x, kind = source.var, rng.choice(("sort", "sort_down", "largest", "smallest"))
    inner = f"[{x} for {x} in {source.code} if {check.on(x)}]" if check else source.code
    call = {"sort": "sorted", "sort_down": "sorted", "largest": "max", "smallest": "min"}[kind]
    by = "len" if key.code == "len({x})" else f"lambda {x}: {key.on(x)}"
    down = ", reverse=True" if kind == "sort_down" else ""
    code = function(f"{kind}_by", source.params, f"return {call}({inner}, key={by}{down})")

    def say(rng: Random) -> str:
        noun = key.nouns[0][1]
        if call == "sorted":
            by = rng.choice((f"by {noun}", f"by their {noun}"))
            end = " in descending order" if down else rng.choice(("", " in ascending order"))
            return f"[sort] the {kept(rng, source, check)} {by}{end}"
        verb = rng.choice(("find", "return", "get"))
        most = rng.choice(
            {"largest": ("largest", "highest"), "smallest": ("smallest", "lowest")}[kind]
        )
        which = kept(rng, source, check, which="the")
        return f"[{verb}] {which} with the {most} {noun}"

    parts = (*((f"filter:{check.name}",) if check else ()), f"by:{key.name}", f"order:{kind}")
    return source.task(f"{kind} by of {source.name}", parts, code, say)


def running(rng: Random) -> Task | None:
    """List what a total is after each element: "the running totals of the squares"."""
    source = rng.choice((number_list, number_list, amounts, draw_source))(rng)
    stages = draw_stages(rng, source, ("filter", "map", "filter map", "plain"))
    if stages is None or source.kind != "number" or source.outer or source.condition:
        return None
    if not stages.nameable or (stages.change and stages.change.to != "number"):
        return None
    name, start, step, says = rng.choice(
        (
            ("total", "0", "total += {v}", ("running totals", "cumulative sums")),
            ("product", "1", "product *= {v}", ("running products", "cumulative products")),
            ("largest", "float('-inf')", "largest = max(largest, {v})", ("running maximums",)),
        )
    )
    inner = f"{fill(step, v=stages.value(source.var))}\nresult.append({name})"
    if condition := stages.condition(source.var):
        inner = f"if {condition}:\n{block([inner])}"
    lines = [
        f"{name} = {start}",
        "result = []",
        f"for {source.var} in {source.code}:\n{block([inner])}",
    ]
    code = function("get_running", source.params, *lines, "return result")

    def say(rng: Random) -> str:
        verb = rng.choice(("find", "return", "compute", "list"))
        return f"[{verb}] the {rng.choice(says)} of the {phrase(rng, source, stages)}"

    return source.task(
        f"running {name} of {source.name}", (*stages.parts, f"running:{name}"), code, say
    )


def until(rng: Random) -> Task | None:
    """Stop early: "add up the squares of the numbers before the first negative one"."""
    source = listed(rng)
    stop = draw_check(rng, source.kind, source.measured)
    stages = draw_stages(rng, source, ("plain", "filter", "map", "filter map"))
    if stages is None or (stages.check and stages.check.name == stop.name) or not stages.nameable:
        return None
    sink = rng.choice([s for s in SINKS if s.family in ("sum", "product", "count", "list", "max")])
    kind = stages.change.to if stages.change else source.kind
    if kind not in sink.kinds or (sink.family == "count") > (stages.order in ("plain", "filter")):
        return None
    x = source.var
    step = fill(sink.step, value=stages.value(x))
    if condition := stages.condition(x):
        step = f"if {condition}:\n{block([step])}"
    body = f"if {stop.on(x)}:\n    break\n{step}"
    lines = [*sink.start, f"for {x} in {source.code}:\n{block([body])}", *sink.end]
    code = function(sink.name, source.params, *lines)

    def say(rng: Random) -> str:
        clause = fill(rng.choice(sink.says), np=phrase(rng, source, stages))
        before = kept(rng, source, stop, which="the first")
        return f"{clause} before {before.replace('{where}', '')}"

    parts = (f"until:{stop.name}", *stages.parts, sink.family)
    return source.task(f"{sink.family} until in {source.name}", parts, code, say)


def nested(rng: Random) -> Task | None:
    """Go through lists in lists: "the sum of the even numbers in a nested list"."""
    source = number_list(rng)
    if source.measured or "called" in source.takes[0]:
        return None
    stages = draw_stages(rng, source, ("plain", "filter", "map", "filter map", "filter map"))
    sink = rng.choice([s for s in SINKS if s.family in ("sum", "product", "count", "list")])
    if stages is None or (stages.change and stages.change.to != "number" and sink.family != "list"):
        return None
    if not stages.nameable or (sink.family == "count" and stages.order not in ("plain", "filter")):
        return None
    into = {"sum": "total +=", "product": "product *=", "count": "count +=", "list": "result +="}
    step = fill(sink.step, value=stages.value("item"))
    condition = stages.condition("item")
    other = f"elif {condition}" if condition else "else"
    deeper = f"if isinstance(item, list):\n    {into[sink.family]} {sink.name}(item)"
    body = f"{deeper}\n{other}:\n    {step}"
    lines = [*sink.start, f"for item in items:\n{block([body])}", *sink.end]
    code = function(sink.name, "items", *lines)
    return Task(
        family=f"nested {sink.family}",
        parts=("over:nested", *stages.parts, sink.family),
        code=code,
        say=lambda rng: fill(rng.choice(sink.says), np=phrase(rng, source, stages)),
        call=caller(sink.name, ("nested",), code),
        takes=("a nested list", f"a nested list of {source.nouns}"),
        outside=(" in a nested list",),
        inside=("", " in it"),
        what=("{python}function", "recursive {python}function"),
    )


LIST_FAMILIES = (
    (question, 3.0),
    (comparison, 2.5),
    (two_totals, 2.5),
    (position, 2.0),
    (partition, 2.0),
    (replacement, 2.5),
    (dictionary, 1.5),
    (grouping, 2.0),
    (order, 2.5),
    (running, 1.0),
    (until, 2.0),
    (nested, 1.5),
)
