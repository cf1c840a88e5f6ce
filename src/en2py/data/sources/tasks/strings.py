"""Tasks on texts: several steps, checks, replacements, two texts."""

from random import Random

from en2py.data.sources.tasks.changes import draw_change
from en2py.data.sources.tasks.checks import draw_check
from en2py.data.sources.tasks.inputs import caller
from en2py.data.sources.tasks.primitives import LETTERS, QUESTIONS, alternatives, rows
from en2py.data.sources.tasks.sources import SENTENCE, TEXT
from en2py.data.sources.tasks.stages import kept
from en2py.data.sources.tasks.streams import HOW
from en2py.data.sources.tasks.task import Task, block, fill, function

# name | expression of `text` | verb phrases
STEPS = [
    (name, code, alternatives(verbs))
    for name, code, verbs in rows(
        """
upper | text.upper() | [convert] {it} to uppercase / [change] {it} to upper case
lower | text.lower() | [convert] {it} to lowercase / [change] {it} to lower case
title | text.title() | [convert] {it} to title case
swapcase | text.swapcase() | [swap] the case of {it}
reverse | text[::-1] | [reverse] {it}
strip | text.strip() | [strip] the spaces around {it}
no_spaces | text.replace(' ', '') | [remove] the spaces from {it} / [remove] all spaces from {it}
underscore | text.replace(' ', '_') | [replace] the spaces in {it} with underscores
no_vowels | ''.join(c for c in text if c not in 'aeiou') | [remove] the vowels from {it} \
    / [remove] all vowels from {it}
no_digits | ''.join(c for c in text if not c.isdigit()) | [remove] the digits from {it} \
    / [remove] all digits from {it}
only_letters | ''.join(c for c in text if c.isalpha()) | [keep] only the letters of {it}
swap_letters | text.replace('{c}', '{e}') | [replace] "{c}" with "{e}" in {it}
drop_letter | text.replace('{c}', '') | [remove] the letter "{c}" from {it}
first | text[:{n}] | [keep] the first {n} characters of {it} / [cut] {it} to {n} characters
last | text[-{n}:] | [keep] the last {n} characters of {it}
drop_first | text[1:] | [remove] the first character of {it}
drop_last | text[:-1] | [remove] the last character of {it}
repeat | text * {p} | [repeat] {it} {p} times
exclaim | text + '!' | [add] an exclamation mark to {it}
""",
        3,
    )
]
ENDS = [
    (name, code, alternatives(verbs))
    for name, code, verbs in rows(
        """
length | len(text) | [return] the length of the result / [count] the characters of the result
count | text.count('{c}') | [count] the letter "{c}" in the result \
    / [count] how often "{c}" occurs in the result
words | text.split() | [split] the result into words / [return] the words of the result
characters | list(text) | [return] a list of its characters
unique | sorted(set(text)) | [return] its distinct characters in sorted order
find | text.find('{c}') | [return] the position of the first "{c}" in the result
palindrome | text == text[::-1] | [check] whether the result is a palindrome \
    / [return] True if the result is a palindrome
starts | text.startswith('{c}') | [check] whether the result starts with "{c}"
""",
        3,
    )
]
AFTER = {("upper", "lower"), ("lower", "upper"), ("no_spaces", "underscore"), ("title", "swapcase")}


def _values(rng: Random) -> dict[str, str]:
    one, two = rng.sample(LETTERS, 2)
    n, p = rng.choice((3, 4, 5, 6, 7)), rng.choice((2, 3))
    return {"c": one, "e": two, "n": str(n), "p": str(p)}


def text_steps(rng: Random) -> Task | None:
    """Apply two or three steps to a text: "reverse a string and convert it to uppercase"."""
    chosen = [(*step, _values(rng)) for step in rng.sample(STEPS, rng.choice((1, 2, 2, 3)))]
    if rng.random() < 0.6 or len(chosen) == 1:
        chosen.append((*rng.choice(ENDS), _values(rng)))
    names = tuple(name for name, *_ in chosen)
    if any(pair in AFTER or pair[::-1] in AFTER for pair in zip(names, names[1:], strict=False)):
        return None
    exprs = [fill(code, **values) for _, code, _, values in chosen]
    lines = [*(f"text = {expr}" for expr in exprs[:-1]), f"return {exprs[-1]}"]
    code = function("change_text", "text", *lines)

    def describe(rng: Random) -> str:
        clauses = []
        for i, (_, _, ways, values) in enumerate(chosen):
            it = "a string" if i == 0 else "it" if i == 1 else "the result"
            clauses.append(fill(rng.choice(ways), **values).replace("{it}", it))
        return ", ".join(clauses[:-1]) + f" and {clauses[-1]}"

    call = caller("change_text", ("text",), code)
    family = (
        f"text steps to {names[-1]}" if names[-1] in [name for name, *_ in ENDS] else "text steps"
    )
    return Task(family, ("over:text", *(f"text:{name}" for name in names)), code, describe, call)


def text_pair(rng: Random) -> Task | None:
    """Join or compare two changed texts."""
    one, two = rng.choice(STEPS), rng.choice(STEPS)
    if "for c in" in one[1] + two[1] or one[0] == "strip" or two[0] == "strip":
        return None
    values = _values(rng)
    left, right = (
        fill(step[1], **values).replace("text", v) for step, v in ((one, "a"), (two, "b"))
    )
    name, template, ways = rng.choice(
        (
            (
                "concat",
                "{l} + {r}",
                ("[join] the two results", "[return] both results joined together"),
            ),
            ("dash", "{l} + '-' + {r}", ("[join] the two results with a dash",)),
            (
                "equal",
                "{l} == {r}",
                ("[check] whether the results are equal", "[return] True if the results are equal"),
            ),
            ("inside", "{l} in {r}", ("[check] whether the first result occurs in the second",)),
        )
    )
    value = template.replace("{l}", left).replace("{r}", right)
    code = function("combine_texts", "a, b", f"return {value}")

    def describe(rng: Random) -> str:
        first = fill(rng.choice(one[2]), **values).replace("{it}", "the first of two strings")
        second = fill(rng.choice(two[2]), **values).replace("{it}", "the second one")
        return f"{first}, {second} and {rng.choice(ways)}"

    kinds = ("word", "word") if name in ("concat", "dash") else ("similar", "similar")
    call = caller("combine_texts", kinds, code)
    parts = ("over:two_texts", f"text:{one[0]}", f"text:{two[0]}", f"join:{name}")
    return Task("text pair", parts, code, describe, call)


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
        both = f"a word {one.predicate(rng, False)} {op} {two.predicate(rng, False)}"
        if label:
            return f'[return] "{yes}" if {both} and {rng.choice(("otherwise", "else"))} "{no}"'
        return f"{rng.choice(QUESTIONS[:3])} {both}"

    parts: tuple[str, ...] = ("over:word", f"check:{one.name}", op, f"check:{two.name}")
    parts += ("label",) if label else ()
    call = caller("label_word" if label else "check_word", ("word",), code)
    return Task("word label" if label else "word checks", parts, code, describe, call)


def masked(rng: Random) -> Task | None:
    """Replace or change some characters or words of a text, and keep the others."""
    source = rng.choice((TEXT, SENTENCE))
    check = draw_check(rng, source.kind)
    change = draw_change(rng, source.kind, to=source.kind)
    star = rng.choice("*-_#") if rng.random() < 0.4 else ""
    x, glue = source.var, "''" if source is TEXT else "' '"
    value = f"'{star}'" if star else change.on(x)
    style = rng.choice(("short", "loop"))
    if style == "short":
        lines = [f"return {glue}.join({value} if {check.on(x)} else {x} for {x} in {source.code})"]
    else:
        branches = f"if {check.on(x)}:\n    result.append({value})\nelse:\n    result.append({x})"
        lines = ["result = []", f"for {x} in {source.code}:\n{block([branches])}"]
        lines += [f"return {glue}.join(result)"]
    code = function("change_text", source.params, *lines)

    def describe(rng: Random) -> str:
        those = f"the {kept(rng, source, check)}"
        if star:
            return f'[replace] {those} {rng.choice(("with", "by"))} "{star}"'
        rest = (" and [leave] the rest unchanged", " and [keep] the rest as it is")
        return f"{change.verb(rng, those)}{rng.choice(rest)}"

    parts = (f"filter:{check.name}", "mask", f"star:{star}" if star else f"map:{change.name}")
    return source.task(f"mask {source.name}", parts, code, describe, how=HOW[style])
