"""Tasks on dictionaries: filter, change, sort, swap and merge their entries."""

from collections.abc import Callable
from random import Random

from en2py.data.sources.tasks.changes import draw_change
from en2py.data.sources.tasks.checks import draw_check
from en2py.data.sources.tasks.inputs import caller
from en2py.data.sources.tasks.primitives import Check, named
from en2py.data.sources.tasks.sources import MEASURED_NOUNS
from en2py.data.sources.tasks.streams import HOW
from en2py.data.sources.tasks.task import Task, block, function, guarded

LOOP_HOW = ("", "using a dictionary comprehension", "with a dictionary comprehension")


class Entries:
    """A dictionary with words for its entries: keys and values, or names and prices."""

    def __init__(self, rng: Random) -> None:
        self.measured = rng.random() < 0.5
        self.value, self.values = (
            rng.choice(MEASURED_NOUNS) if self.measured else ("value", "values")
        )
        self.key, self.keys = ("name", "names") if self.measured else ("key", "keys")
        self.params = self.values if self.measured else "data"
        self.items = f"for {self.key}, {self.value} in {self.params}.items()"
        self.takes = (f"a dictionary of {self.values}",) if self.measured else ("a dictionary",)
        self.whole = self.takes[0]

    def draw_check(self, rng: Random) -> tuple[Check, bool]:
        """Draw a check, and whether it is of the value (True) or of the key."""
        if rng.random() < 0.6:
            return draw_check(rng, "number", self.measured), True
        return draw_check(rng, "word"), False

    def test(self, check: Check, on_value: bool) -> str:
        """Return the condition."""
        return check.on(self.value if on_value else self.key)

    def whose(self, rng: Random, check: Check, on_value: bool) -> str:
        """Draw a phrase: `whose value is greater than 5`."""
        noun = self.value if on_value else self.key
        return f"whose {noun} {check.predicate(rng, False)}"

    def task(
        self,
        family: str,
        parts: tuple[str, ...],
        code: str,
        describe: Callable[[Random], str],
        how: tuple[str, ...] = ("",),
    ) -> Task:
        """Create a task from a function of this dictionary."""
        name = code.partition("(")[0].removeprefix("def ")
        kind = "prices" if self.measured else "amounts"
        return Task(
            family,
            ("over:dict", *parts),
            code,
            describe,
            caller(name, (kind,), code),
            takes=self.takes,
            outside=(f" in {self.whole}",),
            inside=("", " in it"),
            how=how,
        )


def transform(rng: Random) -> Task | None:
    """Filter and change entries: "double the values of the entries whose key starts with a"."""
    e = Entries(rng)
    check, on_value = e.draw_check(rng) if rng.random() < 0.85 else (None, False)
    what = rng.choice(("keep", "values", "values", "keys", "swap"))
    change = None
    if what == "values":
        change = draw_change(rng, "number", measured=e.measured)
    if what == "keys":
        change = draw_change(rng, "word", to="word")
        if change.name in ("first_letter", "last_letter", "prefix"):
            return None  # keys would become equal
    if what == "keep" and check is None:
        return None
    key = change.on(e.key) if change and what == "keys" else e.key
    value = change.on(e.value) if change and what == "values" else e.value
    key, value = (value, key) if what == "swap" else (key, value)
    test = e.test(check, on_value) if check else ""
    style = rng.choice(("short", "short", "loop"))
    if style == "short":
        end = f" if {test}" if test else ""
        lines = [f"return {{{key}: {value} {e.items}{end}}}"]
    else:
        step = guarded(test, f"result[{key}] = {value}")
        lines = ["result = {}", f"{e.items}:\n{block([step])}", "return result"]
    code = function("change_dict", e.params, *lines)

    def describe(rng: Random) -> str:
        entry = rng.choice(("entries", "items"))
        which = f" {e.whose(rng, check, on_value)}" if check else ""
        if what == "keep":
            verb = rng.choice(("[keep] only the", "[return] the", "[select] the"))
            return f"{verb} {entry}{{where}}{which}"
        if what == "swap":
            those = f"of the {entry}{{where}}{which}" if check else "{where}"
            return f"[swap] the {e.keys} and {e.values} {those}"
        nouns = e.values if what == "values" else e.keys
        if change is None or check is None:
            return change.verb(rng, f"the {nouns}{{where}}") if change else ""
        return f"[keep] only the {entry}{{where}}{which} and {change.verb(rng, f'their {nouns}')}"

    parts = (*named("value" if on_value else "key", check), f"dict:{what}", *named("map", change))
    how = LOOP_HOW if style == "short" else HOW["loop"]
    return e.task(f"dict {what}", parts, code, describe, how)


def names(rng: Random) -> Task | None:
    """List, count or join the keys whose value passes: "names whose score is at least 20"."""
    e = Entries(rng)
    check = draw_check(rng, "number", e.measured)
    change = draw_change(rng, "word") if rng.random() < 0.6 else None
    if change and not change.nouns and change.to != "word":
        return None
    value = change.on(e.key) if change else e.key
    inner = f"{value} {e.items} if {check.on(e.value)}"
    end, template, ways = rng.choice(
        (
            ("list", "[{}]", ("[return] {}", "[return] a list of {}", "[get] {}")),
            (
                "sort_words",
                "sorted({})",
                ("[sort] {} alphabetically", "[return] {} in alphabetical order"),
            ),
            ("join_comma", "','.join({})", ("[join] {} with commas",)),
            ("first", "next(({}), None)", ("[return] the first of {}",)),
        )
    )
    if end in ("join_comma", "sort_words") and change and change.to != "word":
        return None
    code = function("get_keys", e.params, f"return {template.format(inner)}")

    def describe(rng: Random) -> str:
        those = f"the {e.keys}{{where}} {e.whose(rng, check, True)}"
        if change is None:
            return rng.choice(ways).format(those)
        if change.nouns:
            return rng.choice(ways).format(f"the {change.nouns[0][0]} of {those}")
        first = change.verb(rng, those)
        return f"{first} and {rng.choice(ways).format('the results')}"

    parts = (f"value:{check.name}", *named("map", change), "keys", end)
    return e.task(f"dict keys {end}", parts, code, describe)


def dict_order(rng: Random) -> Task | None:
    """Sort keys by value, or find the key of the largest value."""
    e = Entries(rng)
    check, on_value = e.draw_check(rng) if rng.random() < 0.8 else (None, False)
    kind = rng.choice(("sort", "sort_down", "largest", "smallest", "top_two"))
    inner = e.params
    if check:
        x = e.key
        test = check.on(f"{e.params}[{x}]" if on_value else x)
        inner = f"[{x} for {x} in {e.params} if {test}]"
    call = {"largest": "max", "smallest": "min"}.get(kind, "sorted")
    down = ", reverse=True" if kind in ("sort_down", "top_two") else ""
    tail = "[:2]" if kind == "top_two" else ""
    code = function(
        f"{kind}_key", e.params, f"return {call}({inner}, key={e.params}.get{down}){tail}"
    )

    def describe(rng: Random) -> str:
        which = ""
        if check and on_value:
            which = f" {e.whose(rng, check, True)}"
        elif check:
            which = f" that {check.predicate(rng, True)}"
        if kind.startswith("sort"):
            down = " in descending order" if kind == "sort_down" else ""
            return f"[sort] the {e.keys}{{where}}{which} by {e.value}{down}"
        verb = rng.choice(("find", "return", "get"))
        most = "two largest" if kind == "top_two" else kind
        best = (
            f"{e.keys} with the {most} {e.values}" if tail else f"{e.key} with the {most} {e.value}"
        )
        return f"[{verb}] the {best}{{where}}" + (f" among the {e.keys}{which}" if which else "")

    place = "value" if on_value else "key"
    parts = (*named(place, check), f"key_order:{kind}")
    return e.task(f"dict {kind}", parts, code, describe)


def merge(rng: Random) -> Task | None:
    """Merge two dictionaries with a rule for common keys."""
    rule, expr, ways = rng.choice(
        (
            ("sum", "{a} + {b}", ("[add] the values of common keys",)),
            ("product", "{a} * {b}", ("[multiply] the values of common keys",)),
            ("max", "max({a}, {b})", ("[keep] the larger value of common keys",)),
            ("min", "min({a}, {b})", ("[keep] the smaller value of common keys",)),
        )
    )
    on_value = rng.random() < 0.5
    check = draw_check(rng, "number" if on_value else "word")
    only = rng.random() < 0.5
    value = expr.replace("{a}", "first[key]").replace("{b}", "second[key]")
    test = check.on("first[key]" if on_value else "key")
    if only:
        lines = [f"return {{key: {value} for key in first if key in second and {test}}}"]
    else:
        inner = expr.replace("{a}", "result[key]").replace("{b}", "value")
        test = check.on("value" if on_value else "key")
        body = f"if key in result:\n    result[key] = {inner}\nelse:\n    result[key] = value"
        loop = f"for key, value in second.items():\n    if {test}:\n{block([body], 2)}"
        lines = ["result = dict(first)", loop, "return result"]
    code = function("merge_dicts", "first, second", *lines)

    def describe(rng: Random) -> str:
        if only:
            which = "whose value in the first " if on_value else ""
            which += check.predicate(rng, not on_value)
            rule = rng.choice(ways).replace("values of common keys", "two values")
            rule = rule.replace("value of common keys", "of the two values")
            return f"[take] the keys that are in both of two dictionaries and {which} and {rule}"
        where = "value" if on_value else "key"
        return (
            f"[merge] into one dictionary the entries of another whose {where} "
            f"{check.predicate(rng, False)} and {rng.choice(ways)}"
        )

    place = "value" if on_value else "key"
    kind = "common" if only else "merge"
    parts = ("over:two_dicts", kind, f"{place}:{check.name}", f"rule:{rule}")
    call = caller("merge_dicts", ("small_dict", "small_dict"), code)
    return Task("common keys" if only else "merge dicts", parts, code, describe, call)


def zipped(rng: Random) -> Task | None:
    """Make a dictionary of two lists: "a list of keys and a list of values"."""
    on_value = rng.random() < 0.6
    check = draw_check(rng, "number" if on_value else "word")
    place = "value" if on_value else "key"
    change = draw_change(rng, "number") if rng.random() < 0.6 else None
    if not change and rng.random() < 0.5:
        return None
    value = change.on("value") if change else "value"
    line = f"return {{key: {value} for key, value in zip(keys, values) if {check.on(place)}}}"
    code = function("build_dict", "keys, values", line)

    def describe(rng: Random) -> str:
        which = f"whose {place} {check.predicate(rng, False)}"
        start = (
            f"[build] a dictionary from a list of keys and a list of values with the pairs {which}"
        )
        return f"{start} and {change.verb(rng, 'the values')}" if change else start

    parts = ("over:zip", f"{place}:{check.name}", *named("map", change), "dict")
    return Task(
        "zip to dict", parts, code, describe, caller("build_dict", ("words", "numbers"), code)
    )


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
    code = function(
        "reduce_lists", "data", f"return {{key: {value} for key, values in data.items(){end}}}"
    )

    def describe(rng: Random) -> str:
        noun = change.nouns[0][1]
        verb = rng.choice(("[map]", "[return] a dictionary that maps"))
        each = rng.choice(
            ("each key of a dictionary of lists", "every key of a dictionary of lists")
        )
        if keep == "key":
            return f"{verb} {each} that {check.predicate(rng, False)} to the {noun} of its list"
        if keep == "result":
            test = check.predicate(rng, False)
            return f"{verb} {each} to the {noun} of its list if this {noun} {test}"
        if keep == "member":
            which = check.predicate(rng, True)
            return f"{verb} {each} to the {noun} of the values in its list that {which}"
        return f"{verb} {each} to the {noun} of its list"

    parts: tuple[str, ...] = ("over:dict_of_lists", f"map:{change.name}")
    parts += (f"{keep}:{check.name}",) if keep != "none" else ()
    return Task(
        "dict of lists", parts, code, describe, caller("reduce_lists", ("dict_of_lists",), code)
    )
