"""Tasks on texts: several steps, checks, replacements, two texts."""

from random import Random

from en2py.data.sources.tasks.english import QUESTIONS, listed
from en2py.data.sources.tasks.primitives import LETTERS, draw_change, draw_check
from en2py.data.sources.tasks.sources import FIXED
from en2py.data.sources.tasks.stages import kept
from en2py.data.sources.tasks.streams import HOW
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, either, fill, function

STEPS = [(name, row["code"], row["verbs"]) for name, row in table("texts")["steps"].items()]
ENDS = [(name, row["code"], row["verbs"]) for name, row in table("texts")["ends"].items()]
AFTER = {("upper", "lower"), ("lower", "upper"), ("no_spaces", "underscore"), ("title", "swapcase")}


def _values(rng: Random) -> dict[str, str]:
    one, two = rng.sample(LETTERS, 2)
    n, p = rng.choice((3, 4, 5, 6, 7)), rng.choice((2, 3))
    return {"c": one, "e": two, "n": str(n), "p": str(p)}


def text_steps(rng: Random) -> Task | None:
    """Apply two or three steps to a text: "reverse a string and convert it to uppercase"."""
    chosen = [(*step, _values(rng)) for step in rng.sample(STEPS, rng.choice((1, 2, 2, 3)))]
    ended = rng.random() < 0.6 or len(chosen) == 1
    if ended:
        chosen.append((*rng.choice(ENDS), _values(rng)))
    names = tuple(name for name, *_ in chosen)
    if any(pair in AFTER or pair[::-1] in AFTER for pair in zip(names, names[1:], strict=False)):
        return None
    exprs = [fill(code, **values) for _, code, _, values in chosen]
    lines = [*(f"text = {expr}" for expr in exprs[:-1]), f"return {exprs[-1]}"]
    code = function("change_text", "text", *lines)

    def describe(rng: Random) -> str:
        its = ("a string", "it", *["the result"] * len(chosen))
        rows = zip(chosen, its, strict=False)
        return listed([fill(rng.choice(ways), **v, it=it) for (_, _, ways, v), it in rows])

    family = f"text steps to {names[-1]}" if ended else "text steps"
    parts = ("over:text", *(f"text:{name}" for name in names))
    return Task(family, parts, code, describe, ("text",))


def text_pair(rng: Random) -> Task | None:
    """Join or compare two changed texts."""
    one, two = rng.choice(STEPS), rng.choice(STEPS)
    if "for c in" in one[1] + two[1] or one[0] == "strip" or two[0] == "strip":
        return None
    values = _values(rng)
    left, right = (
        fill(step[1], **values).replace("text", v) for step, v in ((one, "a"), (two, "b"))
    )
    name, template, ways = rng.choice(table("operations")["two_texts"])
    code = function("combine_texts", "a, b", f"return {fill(template, l=left, r=right)}")

    def describe(rng: Random) -> str:
        first = fill(rng.choice(one[2]), **values, it="the first of two strings")
        second = fill(rng.choice(two[2]), **values, it="the second one")
        return f"{first}, {second} and {rng.choice(ways)}"

    kinds = ("word", "word") if name in ("concat", "dash") else ("similar", "similar")
    parts = ("over:two_texts", f"text:{one[0]}", f"text:{two[0]}", f"join:{name}")
    return Task("text pair", parts, code, describe, kinds)


def text_checks(rng: Random) -> Task | None:
    """Combine two checks of a word: "whether a word starts with "a" and is a palindrome"."""
    one, two = draw_check(rng, "word"), draw_check(rng, "word")
    if one.name == two.name:
        return None
    op = rng.choice(("and", "or"))
    label = rng.random() < 0.4
    yes, no = rng.choice((("yes", "no"), ("good", "bad"), ("pass", "fail")))
    test = f"{one.on('word')} {op} {two.on('word')}"
    lines = [f"if {test}:\n    return '{yes}'", f"return '{no}'"] if label else [f"return {test}"]
    code = function("label_word" if label else "check_word", "word", *lines)

    def describe(rng: Random) -> str:
        both = f"a word {one.predicate(rng)} {op} {two.predicate(rng)}"
        if label:
            return f'[return] "{yes}" if {both} and {rng.choice(("otherwise", "else"))} "{no}"'
        return f"{rng.choice(QUESTIONS[:3])} {both}"

    parts: tuple[str, ...] = ("over:word", f"check:{one.name}", op, f"check:{two.name}")
    parts += ("label",) if label else ()
    return Task("word label" if label else "word checks", parts, code, describe, ("word",))


def masked(rng: Random) -> Task | None:
    """Replace or change some characters or words of a text, and keep the others."""
    source = FIXED[rng.choice(("text", "sentence"))]
    check = draw_check(rng, source.kind)
    change = draw_change(rng, source.kind, to=source.kind)
    star = rng.choice("*-_#") if rng.random() < 0.4 else ""
    x, glue = source.var, "''" if source.name == "text" else "' '"
    value = f"'{star}'" if star else change.on(x)
    style = rng.choice(("short", "loop"))
    if style == "short":
        lines = [f"return {glue}.join({value} if {check.on(x)} else {x} for {x} in {source.code})"]
    else:
        inner = either(check.on(x), f"result.append({value})", f"result.append({x})")
        lines = ["result = []", source.loop(inner), f"return {glue}.join(result)"]
    code = function("change_text", source.params, *lines)

    def describe(rng: Random) -> str:
        those = f"the {kept(rng, source, check)}"
        if star:
            return f'[replace] {those} {rng.choice(("with", "by"))} "{star}"'
        rest = (" and [leave] the rest unchanged", " and [keep] the rest as it is")
        return f"{change.verb(rng, those)}{rng.choice(rest)}"

    parts = (f"filter:{check.name}", "mask", f"star:{star}" if star else f"map:{change.name}")
    return source.task(f"mask {source.name}", parts, code, describe, how=HOW[style])
