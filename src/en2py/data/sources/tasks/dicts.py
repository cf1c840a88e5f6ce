"""Tasks on dictionaries: filter, change, sort, swap and merge their entries."""

from random import Random

from en2py.data.sources.tasks.english import FIND
from en2py.data.sources.tasks.primitives import Check, draw_change, draw_check, named
from en2py.data.sources.tasks.sources import Source, entries
from en2py.data.sources.tasks.streams import HOW
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, block, either, fill, function, guarded

LOOP_HOW = ("", "using a dictionary comprehension", "with a dictionary comprehension")


def draw_entry_check(rng: Random, e: Source) -> tuple[Check, bool]:
    """Draw a check, and whether it is of the value (True) or of the key."""
    if rng.random() < 0.6:
        return draw_check(rng, "number", e.measured), True
    return draw_check(rng, "word"), False


def whose(rng: Random, e: Source, check: Check, on_value: bool = True) -> str:
    """Draw a phrase: `whose value is greater than 5`."""
    return f"whose {e.noun if on_value else e.var} {check.predicate(rng)}"


def place(on_value: bool) -> str:
    """Return what a check is of: `value` or `key`."""
    return "value" if on_value else "key"


def transform(rng: Random) -> Task | None:
    """Filter and change entries: "double the values of the entries whose key starts with a"."""
    e = entries(rng)
    check, on_value = draw_entry_check(rng, e) if rng.random() < 0.85 else (None, False)
    what = rng.choice(("keep", "values", "values", "keys", "swap"))
    change = None
    if what == "values":
        change = draw_change(rng, measured=e.measured)
    if what == "keys":
        change = draw_change(rng, "word", to="word")
        if change.name in ("first_letter", "last_letter", "prefix"):
            return None  # keys would become equal
    if what == "keep" and check is None:
        return None
    key = change.on(e.var) if change and what == "keys" else e.var
    value = change.on(e.noun) if change and what == "values" else e.noun
    key, value = (value, key) if what == "swap" else (key, value)
    test = check.on(e.noun if on_value else e.var) if check else ""
    style = rng.choice(("short", "short", "loop"))
    if style == "short":
        lines = [f"return {{{key}: {value} {e.code}{f' if {test}' if test else ''}}}"]
    else:
        step = guarded(test, f"result[{key}] = {value}")
        lines = ["result = {}", f"{e.code}:\n{block([step])}", "return result"]
    code = function("change_dict", e.params, *lines)

    def describe(rng: Random) -> str:
        entry = rng.choice(("entries", "items"))
        which = f" {whose(rng, e, check, on_value)}" if check else ""
        if what == "keep":
            verb = rng.choice(("[keep] only the", "[return] the", "[select] the"))
            return f"{verb} {entry}{{where}}{which}"
        if what == "swap":
            those = f"of the {entry}{{where}}{which}" if check else "{where}"
            return f"[swap] the {e.var}s and {e.nouns} {those}"
        nouns = e.nouns if what == "values" else f"{e.var}s"
        if change is None or check is None:
            return change.verb(rng, f"the {nouns}{{where}}") if change else ""
        return f"[keep] only the {entry}{{where}}{which} and {change.verb(rng, f'their {nouns}')}"

    parts = (*named(place(on_value), check), f"dict:{what}", *named("map", change))
    how = LOOP_HOW if style == "short" else HOW["loop"]
    return e.task(f"dict {what}", parts, code, describe, how=how)


def names(rng: Random) -> Task | None:
    """List, count or join the keys whose value passes: "names whose score is at least 20"."""
    e = entries(rng)
    check = draw_check(rng, "number", e.measured)
    change = draw_change(rng, "word") if rng.random() < 0.6 else None
    if change and not change.nouns and change.to != "word":
        return None
    value = change.on(e.var) if change else e.var
    inner = f"{value} {e.code} if {check.on(e.noun)}"
    end, template, ways = rng.choice(table("operations")["keys"])
    if end in ("join_comma", "sort_words") and change and change.to != "word":
        return None
    code = function("get_keys", e.params, f"return {template.format(inner)}")

    def describe(rng: Random) -> str:
        those = f"the {e.var}s{{where}} {whose(rng, e, check)}"
        if change and not change.nouns:
            return f"{change.verb(rng, those)} and {rng.choice(ways).format('the results')}"
        if change:
            those = f"the {change.nouns[0][0]} of {those}"
        return str(rng.choice(ways).format(those))

    parts = (f"value:{check.name}", *named("map", change), "keys", end)
    return e.task(f"dict keys {end}", parts, code, describe)


def dict_order(rng: Random) -> Task | None:
    """Sort keys by value, or find the key of the largest value."""
    e = entries(rng)
    check, on_value = draw_entry_check(rng, e) if rng.random() < 0.8 else (None, False)
    kind = rng.choice(("sort", "sort_down", "largest", "smallest", "top_two"))
    inner = e.params
    if check:
        test = check.on(f"{e.params}[{e.var}]" if on_value else e.var)
        inner = f"[{e.var} for {e.var} in {e.params} if {test}]"
    call = {"largest": "max", "smallest": "min"}.get(kind, "sorted")
    down = ", reverse=True" if kind in ("sort_down", "top_two") else ""
    tail = "[:2]" if kind == "top_two" else ""
    line = f"return {call}({inner}, key={e.params}.get{down}){tail}"
    code = function(f"{kind}_key", e.params, line)

    def describe(rng: Random) -> str:
        which = ""
        if check and on_value:
            which = f" {whose(rng, e, check)}"
        elif check:
            which = f" that {check.predicate(rng, True)}"
        if kind.startswith("sort"):
            down = " in descending order" if kind == "sort_down" else ""
            return f"[sort] the {e.var}s{{where}}{which} by {e.noun}{down}"
        best = f"{e.var} with the {kind} {e.noun}"
        if kind == "top_two":
            best = f"{e.var}s with the two largest {e.nouns}"
        among = f" among the {e.var}s{which}" if which else ""
        return f"[{rng.choice(FIND)}] the {best}{{where}}{among}"

    parts = (*named(place(on_value), check), f"key_order:{kind}")
    return e.task(f"dict {kind}", parts, code, describe)


def merge(rng: Random) -> Task | None:
    """Merge two dictionaries with a rule for common keys."""
    rule, expr, ways = rng.choice(table("operations")["merge"])
    on_value = rng.random() < 0.5
    check = draw_check(rng, "number" if on_value else "word")
    only = rng.random() < 0.5
    value = fill(expr, a="first[key]", b="second[key]")
    test = check.on("first[key]" if on_value else "key")
    if only:
        lines = [f"return {{key: {value} for key in first if key in second and {test}}}"]
    else:
        both = fill(expr, a="result[key]", b="value")
        body = either("key in result", f"result[key] = {both}", "result[key] = value")
        body = guarded(check.on(place(on_value)), body)
        loop = f"for key, value in second.items():\n{block([body])}"
        lines = ["result = dict(first)", loop, "return result"]
    code = function("merge_dicts", "first, second", *lines)

    def describe(rng: Random) -> str:
        if only:
            which = "whose value in the first " if on_value else ""
            which += check.predicate(rng, not on_value)
            way = rng.choice(ways).replace("values of common keys", "two values")
            way = way.replace("value of common keys", "of the two values")
            return f"[take] the keys that are in both of two dictionaries and {which} and {way}"
        which = f"whose {place(on_value)} {check.predicate(rng)}"
        start = f"[merge] into one dictionary the entries of another {which}"
        return f"{start} and {rng.choice(ways)}"

    kind = "common" if only else "merge"
    parts = ("over:two_dicts", kind, f"{place(on_value)}:{check.name}", f"rule:{rule}")
    family = "common keys" if only else "merge dicts"
    return Task(family, parts, code, describe, ("small_dict", "small_dict"))


def zipped(rng: Random) -> Task | None:
    """Make a dictionary of two lists: "a list of keys and a list of values"."""
    on_value = rng.random() < 0.6
    check = draw_check(rng, "number" if on_value else "word")
    change = draw_change(rng) if rng.random() < 0.6 else None
    if not change and rng.random() < 0.5:
        return None
    value, test = change.on("value") if change else "value", check.on(place(on_value))
    line = f"return {{key: {value} for key, value in zip(keys, values) if {test}}}"
    code = function("build_dict", "keys, values", line)

    def describe(rng: Random) -> str:
        start = "[build] a dictionary from a list of keys and a list of values with the pairs whose"
        start += f" {place(on_value)} {check.predicate(rng)}"
        return f"{start} and {change.verb(rng, 'the values')}" if change else start

    parts = ("over:zip", f"{place(on_value)}:{check.name}", *named("map", change), "dict")
    return Task("zip to dict", parts, code, describe, ("words", "numbers"))


def lists_in_dict(rng: Random) -> Task | None:
    """Reduce the lists in a dictionary: "map each name to the largest of its scores"."""
    change = draw_change(rng, "row", to="number")
    keep = rng.choice(("none", "key", "result", "member"))
    check = draw_check(rng, "word" if keep == "key" else "number")
    value = change.on("values")
    if keep == "member":
        if change.name in ("row_first", "row_last"):
            return None
        value = change.on(f"[value for value in values if {check.on('value')}]")
    test = {"key": check.on("key"), "result": check.on(change.on("values"))}.get(keep, "")
    end = f" if {test}" if test else ""
    line = f"return {{key: {value} for key, values in data.items(){end}}}"
    code = function("reduce_lists", "data", line)

    def describe(rng: Random) -> str:
        noun = change.nouns[0][1]
        verb = rng.choice(("[map]", "[return] a dictionary that maps"))
        each = f"{rng.choice(('each', 'every'))} key of a dictionary of lists"
        if keep == "key":
            each += f" that {check.predicate(rng)}"
        if keep == "member":
            which = check.predicate(rng, True)
            return f"{verb} {each} to the {noun} of the values in its list that {which}"
        end = f" if this {noun} {check.predicate(rng)}" if keep == "result" else ""
        return f"{verb} {each} to the {noun} of its list{end}"

    parts: tuple[str, ...] = ("over:dict_of_lists", f"map:{change.name}")
    parts += (f"{keep}:{check.name}",) if keep != "none" else ()
    return Task("dict of lists", parts, code, describe, ("dict_of_lists",))
