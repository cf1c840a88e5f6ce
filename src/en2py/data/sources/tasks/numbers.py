"""Tasks on one or two numbers: arithmetic, checks, labels, conversions."""

from random import Random

from en2py.data.sources.tasks.english import QUESTIONS, in_third_person, listed
from en2py.data.sources.tasks.primitives import Change, draw_change, draw_check, named
from en2py.data.sources.tasks.stages import is_trivial
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import FUNCTION, Task, fill, function

COMPARISONS = {"greater", "less", "at_least", "at_most", "between", "positive", "negative"}
LABELS = ("yes no", "pass fail", "good bad", "fizz buzz", "hit miss", "accept reject")


def nameable_change(rng: Random) -> Change | None:
    """Draw a change of a number with a noun for the result."""
    change = draw_change(rng, to="number")
    return change if change.nouns and change.name != "factorial" else None


def arithmetic(rng: Random) -> Task | None:
    """Combine two numbers: "the sum of the squares of two numbers"."""
    name, template, noun = rng.choice(table("operations")["arithmetic"])
    change = nameable_change(rng) if rng.random() < 0.7 else None
    after = draw_change(rng, to="number") if rng.random() < 0.6 else None
    check = draw_check(rng) if not after and rng.random() < 0.6 else None
    if (after and not (after.nouns or after.measured)) or not (change or after or check):
        return None
    if after and after.name == "factorial":
        return None
    a, b = (change.on("a"), change.on("b")) if change else ("a", "b")
    value = fill(template, a=f"({a})", b=f"({b})")
    value = after.on(value) if after else check.on(value) if check else value
    code = function("check_pair" if check else "combine", "a, b", f"return {value}")

    def describe(rng: Random) -> str:
        of = f"{change.nouns[0][0]} of " if change else ""
        what = f"the {noun} of {'the ' if change else ''}{of}two numbers"
        if check:
            verb = rng.choice(QUESTIONS[:3])
            return f"{verb} {what} {check.predicate(rng)}"
        if after and after.nouns:
            what = f"the {after.nouns[0][1]} of {what}"
        verb = rng.choice(("find", "compute", "calculate"))
        then = f" and {after.verb(rng, 'it')}" if after and not after.nouns else ""
        return f"[{verb}] {what}{then}"

    parts = ("over:two", *named("map", change), f"op:{name}", *named("then", after))
    parts += named("check", check)
    family = "check of two" if check else "arithmetic"
    return Task(family, parts, code, describe, ("number", "number"))


def checks(rng: Random) -> Task | None:
    """Combine two checks of a number: "whether a number is even and greater than 10"."""
    one, two = draw_check(rng), draw_check(rng)
    change = nameable_change(rng) if rng.random() < 0.4 else None
    if one.name == two.name or {one.name, two.name} in ({"even", "odd"}, {"positive", "negative"}):
        return None
    if change and is_trivial(change, two):
        return None
    word = rng.choice(("and", "or", "but not"))
    right = two.fails_on if word == "but not" else two.on
    tail = right(change.on("n") if change else "n")
    op = "or" if word == "or" else "and"
    code = function("check_number", "n", f"return ({one.on('n')}) {op} ({tail})")

    def describe(rng: Random) -> str:
        verb = rng.choice(QUESTIONS)
        first = f"{verb} a number {one.predicate(rng)}"
        second = two.predicate(rng)
        if change:
            noun = change.nouns[0][1]
            return f"{first} {word.replace('but not', 'and it is false that')} its {noun} {second}"
        if word != "but not":
            return f"{first} {word} {second}"
        if second.startswith("is "):
            return f"{first} but not {second.removeprefix('is ')}"
        return f"{first} and it is false that it {second}"

    parts: tuple[str, ...] = ("over:one", f"check:{one.name}", word.replace(" ", "_"))
    parts += named("by", change)
    return Task("checks", (*parts, f"check:{two.name}"), code, describe, ("number",))


def label(rng: Random) -> Task | None:
    """Label a number: 'return "big" if a number is greater than 20 and "small" otherwise'."""
    one = draw_check(rng)
    two = draw_check(rng) if rng.random() < 0.5 else None
    change = nameable_change(rng) if rng.random() < 0.35 else None
    if (two and two.name == one.name) or (change and is_trivial(change, one)):
        return None
    if two and {one.name, two.name} <= COMPARISONS and not change:
        return None  # the second branch might never be reached
    yes, no = rng.choice(LABELS).split()
    x = change.on("n") if change else "n"
    lines = [f"if {one.on(x)}:\n    return '{yes}'"]
    if two:
        lines += [f"if {two.on('n')}:\n    return '{no}'", "return 'none'"]
    else:
        lines += [f"return '{no}'"]
    code = function("label_number", "n", *lines)

    def describe(rng: Random) -> str:
        subject = f"the {change.nouns[0][1]} of a number" if change else "a number"
        first = f'[return] "{yes}" if {subject} {one.predicate(rng)}'
        if two:
            second = f'"{no}" if {"the number" if change else "it"} {two.predicate(rng)}'
            return f'{first}, {second} and "none" otherwise'
        return f'{first} and {rng.choice(("otherwise", "else"))} "{no}"'

    parts = ("over:one", *named("by", change), f"check:{one.name}", "label")
    parts += (f"check:{two.name}", "label_two") if two else ()
    return Task("label", parts, code, describe, ("number",))


def chain(rng: Random) -> Task | None:
    """Apply two or three changes to a number."""
    changes = [draw_change(rng, to="number") for _ in range(rng.choice((2, 2, 3)))]
    if len({change.name for change in changes}) < len(changes):
        return None
    if any(change.name in ("factorial", "n_digits", "halve") for change in changes):
        return None
    x = "n"
    style = rng.choice(("short", "steps", "lambda", "closure"))
    for change in changes:
        x = change.on(x)
    code = function("convert", "n", f"return {x}")
    if style == "lambda":
        code = f"convert = lambda n: {x}"
    elif style == "steps":
        *first, last = (change.on("n") for change in changes)
        code = function("convert", "n", *[f"n = {step}" for step in first], f"return {last}")
    elif style == "closure":
        code = function("make_function", "", code, "return convert")

    def describe(rng: Random) -> str:
        its = ["a number", "the result", "the result"]
        clause = listed([c.verb(rng, it) for c, it in zip(changes, its, strict=False)])
        if style == "closure":
            return f"[return] a function that {in_third_person(clause)}"
        return clause

    return Task(
        family=f"chain {style}",
        parts=("over:one", *named("map", *changes)),
        code=code,
        describe=describe,
        inputs=("number",),
        call=f"{'make_function()' if style == 'closure' else 'convert'}({{arguments}})",
        what=("lambda", "{python}lambda function") if style == "lambda" else (FUNCTION,),
        how=("step by step", "in separate steps") if style == "steps" else ("",),
    )


def guarded(rng: Random) -> Task | None:
    """Reject some numbers: "raise a ValueError if the number is negative"."""
    check, change = draw_check(rng), draw_change(rng)
    if {change.name, check.name} & {"factorial", "halve", "palindrome_number", "not_divisible"}:
        return None
    kind = rng.choice(("raise", "None", "0", "-1"))
    refusal = "raise ValueError" if kind == "raise" else f"return {kind}"
    lines = [f"if {check.on('n')}:\n    {refusal}", f"return {change.on('n')}"]
    code = function("convert", "n", *lines)

    def describe(rng: Random) -> str:
        what = rng.choice(("raise", "throw")) if kind == "raise" else "return"
        error = "a ValueError" if kind == "raise" else kind
        it = rng.choice(("it", "the number"))
        clause = f"{change.verb(rng, 'a number')}, but [{what}] {error} if {it}"
        return f"{clause} {check.predicate(rng)}"

    parts = ("over:one", f"guard:{kind}", f"filter:{check.name}", f"map:{change.name}")
    return Task(f"guard with {kind}", parts, code, describe, ("number",))


def parsed(rng: Random) -> Task | None:
    """Read a number from a string, or fall back: "return -1 if it is not a number"."""
    changes = [draw_change(rng) for _ in range(rng.choice((1, 2)))]
    names = [change.name for change in changes]
    if set(names) & {"factorial", "halve", "string", "binary"} or len(set(names)) < len(names):
        return None
    kind = rng.choice(("None", "0", "-1"))
    x = "int(text)"
    for change in changes:
        x = change.on(x)
    lines = [f"try:\n    return {x}", f"except ValueError:\n    return {kind}"]
    code = function("convert", "text", *lines)

    def describe(rng: Random) -> str:
        start = rng.choice(("[convert] a string to an integer", "[turn] a string into an integer"))
        does = " and ".join(change.verb(rng, "it") for change in changes)
        fails = rng.choice(("if that fails", "if it is not a number", "if this is not possible"))
        return f"{start}, {does}, or [return] {kind} {fails}"

    parts = ("parse", *(f"map:{name}" for name in names), f"default:{kind}")
    return Task("parse", parts, code, describe, ("numeral",))
