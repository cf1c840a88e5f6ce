"""Tasks on one, two or three numbers: arithmetic, questions, labels, searches, sequences."""

from collections.abc import Callable
from random import Random
from typing import Any

from en2py.data.sources.tasks.inputs import caller
from en2py.data.sources.tasks.primitives import CHANGES, Change, draw, draw_change, draw_check
from en2py.data.sources.tasks.sources import NATURAL_CHANGES
from en2py.data.sources.tasks.stages import idle
from en2py.data.sources.tasks.task import FUNCTION, Task, block, function, normal_form

OPERATIONS = (
    ("plus", "{a} + {b}", "sum"),
    ("minus", "{a} - {b}", "difference"),
    ("times", "{a} * {b}", "product"),
    ("larger", "max({a}, {b})", "maximum"),
    ("smaller", "min({a}, {b})", "minimum"),
)
LABELS = (
    ("big", "small"),
    ("yes", "no"),
    ("good", "bad"),
    ("high", "low"),
    ("pass", "fail"),
    ("hot", "cold"),
    ("fizz", "buzz"),
)


def _change(rng: Random) -> Change | None:
    """Draw something to do to a plain number, with a noun for what comes out."""
    change = draw_change(rng, "number", to="number")
    return change if change.nouns and change.name != "factorial" else None


def arithmetic(rng: Random) -> Task | None:
    """Combine two numbers: "the sum of the squares of two numbers"."""
    name, template, noun = rng.choice(OPERATIONS)
    change = _change(rng) if rng.random() < 0.7 else None
    after = draw_change(rng, "number", to="number") if rng.random() < 0.6 else None
    check = draw_check(rng, "number") if not after and rng.random() < 0.6 else None
    if (after and not (after.nouns or after.measured)) or not (change or after or check):
        return None
    if after and after.name == "factorial":
        return None
    a, b = (change.on("a"), change.on("b")) if change else ("a", "b")
    value = template.replace("{a}", a).replace("{b}", b)
    value = after.on(value) if after else check.on(value) if check else value
    code = function("check_pair" if check else "combine", "a, b", f"return {value}")

    def say(rng: Random) -> str:
        of = f"{change.nouns[0][0]} of " if change else ""
        what = f"the {noun} of {'the ' if change else ''}{of}two numbers"
        if check:
            verb = rng.choice(("[check] whether", "[check] if", "[return] True if"))
            return f"{verb} {what} {check.predicate(rng, False)}"
        if after and after.nouns:
            what = f"the {after.nouns[0][1]} of {what}"
        verb = rng.choice(("find", "compute", "calculate"))
        then = f" and {after.verb(rng, 'it')}" if after and not after.nouns else ""
        return f"[{verb}] {what}{then}"

    parts: tuple[str, ...] = (
        "over:two",
        *((f"map:{change.name}",) if change else ()),
        f"op:{name}",
    )
    parts += (f"then:{after.name}",) if after else ()
    parts += (f"check:{check.name}",) if check else ()
    return _task(
        "arithmetic" if not check else "check of two", parts, code, say, ("number", "number")
    )


def checks(rng: Random) -> Task | None:
    """Ask two things of a number: "whether a number is even and greater than 10"."""
    one, two = draw_check(rng, "number"), draw_check(rng, "number")
    change = _change(rng) if rng.random() < 0.4 else None
    if one.name == two.name or {one.name, two.name} in ({"even", "odd"}, {"positive", "negative"}):
        return None
    if change and idle(change, two):
        return None
    word = rng.choice(("and", "or", "but not"))
    right = two.fails_on if word == "but not" else two.on
    tail = right(change.on("n") if change else "n")
    op = "or" if word == "or" else "and"
    code = function("check_number", "n", f"return ({one.on('n')}) {op} ({tail})")

    def say(rng: Random) -> str:
        verb = rng.choice(
            ("[check] whether", "[check] if", "[return] True if", "[determine] whether")
        )
        first = f"{verb} a number {one.predicate(rng, False)}"
        second = two.predicate(rng, False)
        if change:
            noun = change.nouns[0][1]
            return f"{first} {word.replace('but not', 'and it is false that')} its {noun} {second}"
        if word == "but not":
            be = second.removeprefix("is ")
            return (
                f"{first} but not {be}"
                if be != second
                else f"{first} and it is false that it {second}"
            )
        return f"{first} {word} {second}"

    parts: tuple[str, ...] = ("over:one", f"check:{one.name}", word.replace(" ", "_"))
    parts += (f"by:{change.name}",) if change else ()
    return _task("checks", (*parts, f"check:{two.name}"), code, say, ("number",))


def label(rng: Random) -> Task | None:
    """Name a number: 'return "big" if a number is greater than 20 and "small" otherwise'."""
    one = draw_check(rng, "number")
    two = draw_check(rng, "number") if rng.random() < 0.5 else None
    change = _change(rng) if rng.random() < 0.35 else None
    if (two and two.name == one.name) or (change and idle(change, one)):
        return None
    yes, no = rng.choice(LABELS)
    x = change.on("n") if change else "n"
    lines = [f"if {one.on(x)}:\n    return '{yes}'"]
    if two:
        lines += [f"if {two.on('n')}:\n    return '{no}'", "return 'none'"]
    else:
        lines += [f"return '{no}'"]
    code = function("label_number", "n", *lines)

    def say(rng: Random) -> str:
        subject = f"the {change.nouns[0][1]} of a number" if change else "a number"
        first = f'[return] "{yes}" if {subject} {one.predicate(rng, False)}'
        if two:
            second = f'"{no}" if {"the number" if change else "it"} {two.predicate(rng, False)}'
            return f'{first}, {second} and "none" otherwise'
        return f'{first} and {rng.choice(("otherwise", "else"))} "{no}"'

    parts = ("over:one", *((f"by:{change.name}",) if change else ()), f"check:{one.name}", "label")
    parts += (f"check:{two.name}", "label_two") if two else ()
    return _task("label", parts, code, say, ("number",))


def next_number(rng: Random) -> Task | None:
    """Search upwards: "the smallest number greater than n that is prime and ends in 3"."""
    one, two = draw_check(rng, "number"), draw_check(rng, "number") if rng.random() < 0.6 else None
    change = _change(rng) if rng.random() < 0.5 else None
    usual = ("even", "odd", "divisible", "not_divisible", "ends_in", "prime", "palindrome_number")
    if one.name not in usual or (two and (two.name not in usual or two.name == one.name)):
        return None
    if change and (idle(change, one) or change.name not in NATURAL_CHANGES):
        return None
    down = rng.random() < 0.3
    x = change.on("n") if change else "n"
    tests = [one.on(x), *([two.on("n")] if two else [])]
    test = " and ".join(f"({test})" for test in tests)
    move = "n -= 1" if down else "n += 1"
    if not found(test, range(1, 20) if down else range(700, 900)):
        return None
    code = function("find_number", "n", move, f"while not ({test}):\n    {move}", "return n")

    def say(rng: Random) -> str:
        verb = rng.choice(("find", "return", "get"))
        side = (
            "largest number less than n"
            if down
            else rng.choice(("smallest number greater than n", "first number after n"))
        )
        which = f"whose {change.nouns[0][1]}" if change else "that"
        end = f" and {'that ' if change else ''}{two.predicate(rng, False)}" if two else ""
        return f"[{verb}] the {side} {which} {one.predicate(rng, False)}{end}"

    parts = ("search_down" if down else "search_up", *((f"by:{change.name}",) if change else ()))
    parts += (f"filter:{one.name}", *((f"filter:{two.name}",) if two else ()))
    return _task("next number", parts, code, say, ("hundred",), takes=("a number n",))


def found(test: str, where: range) -> bool:
    """Tell whether a search will end: whether some number `n` there passes a test."""
    scope: dict[str, Any] = {}
    exec(normal_form(f"test = lambda n: {test}"), scope)  # our own program
    return any(scope["test"](n) for n in where)


def first_numbers(rng: Random) -> Task | None:
    """Collect the first n numbers that pass: "the squares of the first n odd numbers"."""
    check = draw_check(rng, "number")
    usual = ("even", "odd", "divisible", "not_divisible", "ends_in", "prime", "palindrome_number")
    change = _change(rng) if rng.random() < 0.7 else None
    if check.name not in usual or (
        change and change.name not in (*NATURAL_CHANGES, "cube", "square")
    ):
        return None
    total = rng.random() < 0.5
    value = change.on("number") if change else "number"
    step = f"total += {value}\ncount += 1" if total else f"result.append({value})"
    loop = f"if {check.on('number')}:\n{block([step])}\nnumber += 1"
    start = ["total = 0", "count = 0"] if total else ["result = []"]
    test = "count < n" if total else "len(result) < n"
    end = "return total" if total else "return result"
    name = "get_sum" if total else "get_list"
    code = function(name, "n", *start, "number = 1", f"while {test}:\n{block([loop])}", end)

    def say(rng: Random) -> str:
        words = [f"first n {text} numbers" for text in check.adjectives]
        words += [f"first n positive numbers that {check.predicate(rng, True)}"]
        what = f"the {rng.choice(words)}"
        what = f"the {change.nouns[0][0]} of {what}" if change else what
        if total:
            return f"[{rng.choice(('find', 'return', 'compute', 'calculate'))}] the sum of {what}"
        return f"[{rng.choice(('find', 'return', 'get'))}] {what}"

    parts = ("over:first_n", f"filter:{check.name}", *((f"map:{change.name}",) if change else ()))
    parts += ("sum" if total else "list",)
    return _task("first numbers", parts, code, say, ("small",), takes=("a number n",))


def repetition(rng: Random) -> Task | None:
    """Repeat a step: "how many times a number can be halved before it is less than 5"."""
    up = rng.random() < 0.5
    name = rng.choice(("double", "triple", "times", "plus") if up else ("halve", "minus"))
    change = draw(rng, next(change for change in CHANGES if change.name == name))
    limit = rng.choice((100, 200, 500, 1000)) if up else rng.choice((5, 10, 20, 50))
    second = draw_change(rng, "number", measured=True) if up and rng.random() < 0.7 else None
    if second and second.name in (name, "minus"):
        return None
    count = rng.random() < 0.5
    moves = [f"n = {change.on('n')}", *([f"n = {second.on('n')}"] if second else [])]
    test = f"n < {limit}" if up else f"n > {limit}"
    if count:
        body = block([*moves, "steps += 1"])
        lines = ["steps = 0", f"while {test}:\n{body}", "return steps"]
    else:
        lines = [f"while {test}:\n{block(moves)}", "return n"]
    code = function("count_steps" if count else "repeat_steps", "n", *lines)

    def say(rng: Random) -> str:
        first = change.verb(rng, "a number")
        then = f" and {second.verb(rng, 'it')}" if second else ""
        stop = f"it is {'at least' if up else 'at most'} {limit}"
        if count:
            return f"{first}{then} until {stop} and [count] the steps"
        return f"{first}{then} until {stop} and [return] the result"

    parts = ("repeat", f"map:{name}", *((f"map:{second.name}",) if second else ()))
    parts += ("limit:up" if up else "limit:down", "count" if count else "result")
    return _task("repetition", parts, code, say, ("natural" if up else "hundred",))


def sequence(rng: Random) -> Task | None:
    """Continue a sequence in which each term is made of the one before."""
    steps = ("double", "triple", "plus", "minus", "times", "negate", "halve")
    one, two = (draw_change(rng, "number") for _ in range(2))
    if one.name not in steps or two.name not in steps or one.name == two.name:
        return None
    start = rng.choice((1, 2, 3, 5, 10))
    style = rng.choice(("loop", "recursion", "list"))
    if style == "recursion":
        code = function(
            "get_term",
            "n",
            f"if n == 1:\n    return {start}",
            f"return {two.on(one.on('get_term(n - 1)'))}",
        )
    elif style == "loop":
        body = f"term = {two.on(one.on('term'))}"
        code = function(
            "get_term", "n", f"term = {start}", f"for _ in range(n - 1):\n    {body}", "return term"
        )
    else:
        body = f"terms.append({two.on(one.on('terms[-1]'))})"
        code = function(
            "get_terms",
            "n",
            f"terms = [{start}]",
            f"for _ in range(n - 1):\n    {body}",
            "return terms",
        )

    def say(rng: Random) -> str:
        what = "the first n terms" if style == "list" else "the nth term"
        verb = rng.choice(("find", "return", "compute"))
        does = f"{one.verb(rng, 'the one before')} and {two.verb(rng, 'it')}"
        base = does.replace("[", "").replace("]", "")
        return f"[{verb}] {what} of a sequence: start with {start} and for each new term {base}"

    how = {
        "loop": ("with a loop", "using a loop"),
        "recursion": ("recursively", "using recursion"),
        "list": ("",),
    }
    name = "list" if style == "list" else "term"
    parts = ("sequence", f"map:{one.name}", f"map:{two.name}", name)
    return _task("sequence", parts, code, say, ("small",), takes=("a number n",), how=how[style])


def chain(rng: Random) -> Task | None:
    """Do two or three things to a number, one after the other."""
    changes = [draw_change(rng, "number", to="number") for _ in range(rng.choice((2, 2, 3)))]
    if len({change.name for change in changes}) < len(changes):
        return None
    if any(change.name in ("factorial", "n_digits", "halve") for change in changes):
        return None
    x = "n"
    style = rng.choice(("short", "steps", "lambda", "closure"))
    if style in ("short", "lambda"):
        for change in changes:
            x = change.on(x)
        code = (
            f"convert = lambda n: {x}"
            if style == "lambda"
            else function("convert", "n", f"return {x}")
        )
    elif style == "steps":
        *first, last = changes
        code = function(
            "convert", "n", *[f"n = {c.on('n')}" for c in first], f"return {last.on('n')}"
        )
    else:
        for change in changes:
            x = change.on(x)
        inner = function("convert", "n", f"return {x}")
        code = function("make_function", "", inner, "return convert")

    def say(rng: Random) -> str:
        verbs = [
            changes[0].verb(rng, "a number"),
            *(c.verb(rng, "the result") for c in changes[1:]),
        ]
        clause = ", ".join(verbs[:-1]) + f" and {verbs[-1]}"
        if style == "closure":
            return "[return] a function that " + clause.replace("[", "<").replace("]", ">")
        return clause

    call = caller("make_function()" if style == "closure" else "convert", ("number",), code)
    what = {"lambda": ("lambda", "{python}lambda function")}.get(style, (FUNCTION,))
    how = {"steps": ("step by step", "in separate steps")}.get(style, ("",))
    parts = tuple(f"map:{change.name}" for change in changes)
    return Task(f"chain {style}", ("over:one", *parts), code, say, call, what=what, how=how)


def guarded(rng: Random) -> Task | None:
    """Refuse some numbers: "raise a ValueError if the number is negative"."""
    check, change = draw_check(rng, "number"), draw_change(rng, "number")
    if change.name in ("factorial", "halve") or check.name in (
        "palindrome_number",
        "not_divisible",
    ):
        return None
    kind = rng.choice(("raise", "None", "0", "-1"))
    refusal = "raise ValueError" if kind == "raise" else f"return {kind}"
    lines = [f"if {check.on('n')}:\n    {refusal}", f"return {change.on('n')}"]
    code = function("convert", "n", *lines)

    def say(rng: Random) -> str:
        what = rng.choice(("raise", "throw")) if kind == "raise" else "return"
        error = "a ValueError" if kind == "raise" else kind
        it = rng.choice(("it", "the number"))
        clause = f"{change.verb(rng, 'a number')}, but [{what}] {error} if {it}"
        return f"{clause} {check.predicate(rng, False)}"

    parts = ("over:one", f"guard:{kind}", f"filter:{check.name}", f"map:{change.name}")
    return _task(f"guard with {kind}", parts, code, say, ("number",))


def parsed(rng: Random) -> Task | None:
    """Read a number from a string, or fall back: "return -1 if it is not a number"."""
    changes = [draw_change(rng, "number") for _ in range(rng.choice((1, 2)))]
    names = [change.name for change in changes]
    if set(names) & {"factorial", "halve", "string", "binary"} or len(set(names)) < len(names):
        return None
    kind = rng.choice(("None", "0", "-1"))
    x = "int(text)"
    for change in changes:
        x = change.on(x)
    code = function(
        "convert", "text", f"try:\n    return {x}", f"except ValueError:\n    return {kind}"
    )

    def say(rng: Random) -> str:
        start = rng.choice(("[convert] a string to an integer", "[turn] a string into an integer"))
        does = " and ".join(change.verb(rng, "it") for change in changes)
        fails = rng.choice(("if that fails", "if it is not a number", "if this is not possible"))
        return f"{start}, {does}, or [return] {kind} {fails}"

    parts = ("parse", *(f"map:{name}" for name in names), f"default:{kind}")
    return _task("parse", parts, code, say, ("numeral",))


def _task(
    family: str,
    parts: tuple[str, ...],
    code: str,
    say: Callable[[Random], str],
    kinds: tuple[str, ...],
    *,
    takes: tuple[str, ...] = (),
    how: tuple[str, ...] = ("",),
) -> Task:
    name = code.partition("(")[0].removeprefix("def ")
    return Task(family, parts, code, say, caller(name, kinds, code), takes=takes, how=how)


NUMBER_FAMILIES = (
    (arithmetic, 3.0),
    (checks, 2.5),
    (label, 2.5),
    (next_number, 1.5),
    (first_numbers, 1.5),
    (repetition, 1.5),
    (sequence, 2.0),
    (chain, 3.0),
    (guarded, 2.0),
    (parsed, 1.0),
)
