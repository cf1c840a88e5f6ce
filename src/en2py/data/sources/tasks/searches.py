"""Tasks on numbers with loops but without a list: searches, repetitions, sequences."""

from random import Random
from typing import Any

from en2py.data.sources.tasks.english import FIND
from en2py.data.sources.tasks.numbers import nameable_change
from en2py.data.sources.tasks.primitives import CHANGES, draw, draw_change, draw_check, named
from en2py.data.sources.tasks.sources import FIXED
from en2py.data.sources.tasks.stages import is_trivial
from en2py.data.sources.tasks.streams import HOW
from en2py.data.sources.tasks.task import Task, block, function, normal_form

USUAL = {"even", "odd", "divisible", "not_divisible", "ends_in", "prime", "palindrome_number"}
NATURAL_CHANGES = FIXED["range"].changes
TAKES = ("a number n",)


def next_number(rng: Random) -> Task | None:
    """Search upwards: "the smallest number greater than n that is prime and ends in 3"."""
    one, two = draw_check(rng), draw_check(rng) if rng.random() < 0.6 else None
    change = nameable_change(rng) if rng.random() < 0.5 else None
    if one.name not in USUAL or (two and (two.name not in USUAL or two.name == one.name)):
        return None
    if change and (is_trivial(change, one) or change.name not in NATURAL_CHANGES):
        return None
    down = rng.random() < 0.3
    x = change.on("n") if change else "n"
    tests = [one.on(x), *([two.on("n")] if two else [])]
    test = " and ".join(f"({test})" for test in tests)
    move = "n -= 1" if down else "n += 1"
    if not found(test, range(1, 20) if down else range(700, 900)):
        return None
    code = function("find_number", "n", move, f"while not ({test}):\n    {move}", "return n")

    def describe(rng: Random) -> str:
        verb, side = rng.choice(FIND), "largest number less than n"
        if not down:
            side = rng.choice(("smallest number greater than n", "first number after n"))
        which = f"whose {change.nouns[0][1]}" if change else "that"
        end = f" and {'that ' if change else ''}{two.predicate(rng)}" if two else ""
        return f"[{verb}] the {side} {which} {one.predicate(rng)}{end}"

    parts = ("search_down" if down else "search_up", *named("by", change))
    parts += (f"filter:{one.name}", *named("filter", two))
    return Task("next number", parts, code, describe, ("hundred",), takes=TAKES)


def found(test: str, where: range) -> bool:
    """Return whether a search will end: whether a number `n` in a range passes a test."""
    scope: dict[str, Any] = {}
    exec(normal_form(f"test = lambda n: {test}"), scope)  # our own program
    return any(scope["test"](n) for n in where)


def first_numbers(rng: Random) -> Task | None:
    """Collect the first n numbers that pass: "the squares of the first n odd numbers"."""
    check = draw_check(rng)
    change = nameable_change(rng) if rng.random() < 0.7 else None
    if check.name not in USUAL or (change and change.name not in NATURAL_CHANGES):
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

    def describe(rng: Random) -> str:
        words = [f"first n {text} numbers" for text in check.adjectives]
        words += [f"first n positive numbers that {check.predicate(rng, True)}"]
        what = f"the {rng.choice(words)}"
        what = f"the {change.nouns[0][0]} of {what}" if change else what
        if total:
            return f"[{rng.choice(('find', 'return', 'compute', 'calculate'))}] the sum of {what}"
        return f"[{rng.choice(FIND)}] {what}"

    parts = ("over:first_n", f"filter:{check.name}", *named("map", change))
    parts += ("sum" if total else "list",)
    return Task("first numbers", parts, code, describe, ("small",), takes=TAKES)


def repetition(rng: Random) -> Task | None:
    """Repeat a step: "how many times a number can be halved before it is less than 5"."""
    up = rng.random() < 0.5
    name = rng.choice(("double", "triple", "times", "plus") if up else ("halve", "minus"))
    change = draw(rng, next(change for change in CHANGES if change.name == name))
    limit = rng.choice((100, 200, 500, 1000)) if up else rng.choice((5, 10, 20, 50))
    second = draw_change(rng, measured=True) if up and rng.random() < 0.7 else None
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

    def describe(rng: Random) -> str:
        first = change.verb(rng, "a number")
        then = f" and {second.verb(rng, 'it')}" if second else ""
        stop = f"it is {'at least' if up else 'at most'} {limit}"
        end = "[count] the steps" if count else "[return] the result"
        return f"{first}{then} until {stop} and {end}"

    parts = ("repeat", f"map:{name}", *named("map", second))
    parts += ("limit:up" if up else "limit:down", "count" if count else "result")
    return Task("repetition", parts, code, describe, ("natural" if up else "hundred",))


def sequence(rng: Random) -> Task | None:
    """Continue a sequence whose terms are computed from the term before."""
    steps = ("double", "triple", "plus", "minus", "times", "negate", "halve")
    one, two = (draw_change(rng) for _ in range(2))
    if one.name not in steps or two.name not in steps or one.name == two.name:
        return None
    start = rng.choice((1, 2, 3, 5, 10))
    style = rng.choice(("loop", "recursion", "list"))
    before = {"loop": "term", "recursion": "get_term(n - 1)", "list": "terms[-1]"}[style]
    term, loop = two.on(one.on(before)), "for _ in range(n - 1):\n    "
    name, *lines = {
        "recursion": ("get_term", f"if n == 1:\n    return {start}", f"return {term}"),
        "loop": ("get_term", f"term = {start}", f"{loop}term = {term}", "return term"),
        "list": ("get_terms", f"terms = [{start}]", f"{loop}terms.append({term})", "return terms"),
    }[style]
    code = function(name, "n", *lines)

    def describe(rng: Random) -> str:
        what = "the first n terms" if style == "list" else "the nth term"
        verb = rng.choice(("find", "return", "compute"))
        does = f"{one.verb(rng, 'the one before')} and {two.verb(rng, 'it')}"
        base = does.replace("[", "").replace("]", "")
        return f"[{verb}] {what} of a sequence: start with {start} and for each new term {base}"

    how = {"loop": HOW["loop"][:2], "recursion": HOW["recursion"][:2], "list": ("",)}[style]
    result = "list" if style == "list" else "term"
    parts = ("sequence", f"map:{one.name}", f"map:{two.name}", result)
    return Task("sequence", parts, code, describe, ("small",), takes=TAKES, how=how)
