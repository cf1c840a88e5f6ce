"""Tasks on classes: containers, records and lists of numbers, with some methods."""

from collections.abc import Sequence
from random import Random
from typing import Any

from en2py.data.sources.tasks.english import in_third_person, listed
from en2py.data.sources.tasks.inputs import draw_argument
from en2py.data.sources.tasks.primitives import draw_change, draw_check
from en2py.data.sources.tasks.sources import NUMBER_NOUNS
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import CLASS, Task, block, function

CONTAINERS = ("Stack", "Queue", "Basket", "Box", "Bag", "Collection")
Method = tuple[str, dict[str, Any]]  # its name and row in the table


def class_code(name: str, attributes: Sequence[str], methods: Sequence[Method]) -> str:
    """Return the code of a class that stores its attributes."""
    stored = tuple(f"self.{a} = {a}" for a in attributes)
    init = ("__init__", {"params": ", ".join(attributes), "body": stored})
    parts = []
    for method, row in (init, *methods):
        params = ", ".join(filter(None, ("self", row.get("params"))))
        parts.append(function(method, params, *row["body"]))
    return f"class {name}:\n{block(parts)}"


def with_methods(methods: Sequence[Method]) -> str:
    """Return words for the methods: `the methods area and perimeter`."""
    some = "methods" if len(methods) > 1 else "method"
    return f"the {some} {listed([row['words'] for _, row in methods])}"


def draw_object(rng: Random, name: str, attributes: Sequence[str]) -> str:
    """Draw an object of a class with these attributes: `Point(3, 4)`."""
    return f"{name}({', '.join(str(rng.randint(-2, 20)) for _ in attributes)})"


def draw_method_call(rng: Random, method: Method, most: int = 20) -> str:
    """Draw a call of a method: `area()`, `scale(3)`."""
    name, row = method
    return f"{name}({rng.randint(1, most) if 'params' in row else ''})"


def container(rng: Random) -> Task | None:
    """Draw a container class with some methods."""
    name = rng.choice(CONTAINERS)
    chosen = rng.sample([*table("classes")["container"].items()], rng.choice((1, 2, 2)))

    def call(rng: Random) -> str:
        method = rng.choice(chosen)
        items = [rng.randint(1, 9) for _ in range(rng.randint(3, 5))]
        return f"{name}({items}).{draw_method_call(rng, method, most=9)}"

    return Task(
        family="container class",
        parts=("class:container", *(f"method:{method}" for method, _ in chosen)),
        code=class_code(name, ["items"], chosen),
        describe=lambda _: f"{name} over a list of items with {with_methods(chosen)}",
        call=call,
        what=(CLASS,),
    )


def record(rng: Random) -> Task | None:
    """Draw a class with attributes and some methods."""
    name, kind = rng.choice([*table("classes")["records"].items()])
    attributes = kind["attributes"]
    chosen = rng.sample([*kind["methods"].items()], rng.choice((1, 2, 2)))

    def call(rng: Random) -> str:
        method = rng.choice(chosen)
        return f"{draw_object(rng, name, attributes)}.{draw_method_call(rng, method)}"

    return Task(
        family=f"class {name}",
        parts=(f"class:{name}", *(f"method:{method}" for method, _ in chosen)),
        code=class_code(name, attributes, chosen),
        describe=lambda _: f"{name} with {listed(attributes)} and {with_methods(chosen)}",
        call=call,
        what=(CLASS,),
    )


def filtered_class(rng: Random) -> Task | None:
    """Draw a class around a list with methods that filter, change and reduce it."""
    noun = rng.choice(NUMBER_NOUNS)
    nouns = f"{noun}s"
    one, two = draw_check(rng), draw_check(rng)
    change = draw_change(rng, to="number")
    if one.name == two.name:
        return None
    each = f"for n in self.{nouns}"
    options = (  # name of the method, the primitive, the returned value
        ("chosen", "list", f"[n {each} if {one.on('n')}]"),
        ("total", "sum", f"sum(n {each} if {one.on('n')})"),
        ("changed", "map", f"[{change.on('n')} {each}]"),
        ("has_any", "any", f"any({two.on('n')} {each})"),
        ("count", "count", f"len([n {each} if {two.on('n')}])"),
    )
    chosen = rng.sample(options, 2)
    methods = [(name, {"body": (f"return {value}",)}) for name, _, value in chosen]
    code = class_code("Numbers", [nouns], methods)

    def does(rng: Random, name: str) -> str:
        if name == "changed":
            return in_third_person(change.verb(rng, f"each {noun}"))
        # All are drawn, whichever is used, so that equal seeds draw equal data in all versions.
        those, each = one.predicate(rng, True), two.predicate(rng)
        many = two.predicate(rng, True)
        return {
            "chosen": f"returns the {nouns} that {those}",
            "total": f"returns the sum of the {nouns} that {those}",
            "has_any": f"checks whether any {noun} {each}",
            "count": f"returns the number of {nouns} that {many}",
        }[name]

    def describe(rng: Random) -> str:
        clauses = [f"a method {name} that {does(rng, name)}" for name, *_ in chosen]
        return f"Numbers around a list of {nouns} with {listed(clauses)}"

    def call(rng: Random) -> str:
        method = rng.choice(chosen)[0]
        return f"Numbers({draw_argument(rng, 'numbers', code)}).{method}()"

    used = [kind for _, kind, _ in chosen]
    parts = ["class:Numbers", *(f"method:{kind}" for kind in used)]
    parts += [f"filter:{one.name}"] if {"list", "sum"} & {*used} else []
    parts += [f"filter:{two.name}"] if {"any", "count"} & {*used} else []
    parts += [f"map:{change.name}"] if "map" in used else []
    return Task("class of numbers", tuple(parts), code, describe, call=call, what=(CLASS,))


def stateful(rng: Random) -> Task | None:
    """Draw a record whose methods are called one after the other, in half of the programs too."""
    name, kind = rng.choice([*table("classes")["records"].items()])
    chosen = rng.sample([*kind["methods"].items()], rng.choice((2, 3)))

    def use(rng: Random) -> tuple[str, list[str]]:
        """Draw an object and calls of its methods."""
        made = draw_object(rng, name, kind["attributes"])
        return made, [draw_method_call(rng, method) for method in rng.sample(chosen, 2)]

    def call(rng: Random) -> str:
        made, calls = use(rng)
        return f"(lambda it: [{', '.join(f'it.{call}' for call in calls)}])({made})"

    code, end, variable = class_code(name, kind["attributes"], chosen), "", name.lower()
    if rng.random() < 0.5:
        made, calls = use(rng)
        shown = [f"print({variable}.{call})" for call in calls]
        code = "\n".join([code, f"{variable} = {made}", *shown])
        end = f", then create {made} and print {' and '.join(calls)}"
    what = f"{name} with {listed(kind['attributes'])} and {with_methods(chosen)}"
    parts = (f"class:{name}", "form:calls" if end else "form:class")
    return Task(
        family="class with state",
        parts=(*parts, *(f"method:{method}" for method, _ in chosen)),
        code=code,
        describe=lambda _: what + (end or ", whose methods are called one after the other"),
        call=call,
        what=(CLASS,),
    )
