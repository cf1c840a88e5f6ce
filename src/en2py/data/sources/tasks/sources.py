"""The sources of streams: lists, ranges, digits, divisors, dictionaries, texts, tables."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from en2py.data.sources.tasks.source import (
    DIGIT_CHANGES,
    DIGIT_CHECKS,
    NATURAL_CHANGES,
    NATURAL_CHECKS,
    Source,
)

# Nouns for the numbers in a list. Prices and the like are only compared, added and multiplied.
NUMBER_NOUNS = (("number", "numbers"),) * 5 + (("integer", "integers"), ("value", "values"))
MEASURED_NOUNS = (
    ("score", "scores"),
    ("price", "prices"),
    ("mark", "marks"),
    ("age", "ages"),
    ("temperature", "temperatures"),
)
WORD_NOUNS = (("word", "words"),) * 3 + (("string", "strings"), ("name", "names"))
LIST_NAMES = ("nums", "data", "items")
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}


def number_list(rng: Random, part: str = "") -> Source:
    """Draw a list of numbers; with `part`, `first` or `last`, only some of its elements."""
    measured = not part and rng.random() < 0.2
    noun, nouns = rng.choice(MEASURED_NOUNS if measured else NUMBER_NOUNS)
    called = rng.choice(LIST_NAMES) if not part and rng.random() < 0.12 else ""
    name = called or nouns
    which = f" called {called}" if called else ""
    code, at = name, f" in a list{which}"
    outside: tuple[str, ...] = (at, at, f" from a list{which}")
    inside: tuple[str, ...] = ("", " in it", " in the list")
    if part:
        n = rng.choice([*COUNTS])
        code = f"{name}[:{n}]" if part == "first" else f"{name}[-{n}:]"
        outside = (f" among the {part} {COUNTS[n]} elements of a list",)
        inside = (f" among its {part} {COUNTS[n]} elements",)
    return Source(
        name=f"{part}_part" if part else "list",
        kind="number",
        noun=noun,
        nouns=nouns,
        code=code,
        params=name,
        inputs=("measures" if measured else "numbers",),
        takes=(f"a list of {nouns}{which}",),
        outside=outside,
        inside=inside,
        recursion=() if part else (f"not {name}", f"{name}[0]", f"{name}[1:]"),
        recurs=("sum", "product", "count", "list"),
        measured=measured,
    )


def word_list(rng: Random) -> Source:
    """Draw a list of words."""
    noun, nouns = rng.choice(WORD_NOUNS)
    return Source(
        name="words",
        kind="word",
        noun=noun,
        nouns=nouns,
        code=nouns,
        params=nouns,
        inputs=("words",),
        takes=(f"a list of {nouns}",),
        outside=(" in a list", " in a list", " from a list"),
        inside=("", " in it", " in the list"),
        recursion=(f"not {nouns}", f"{nouns}[0]", f"{nouns}[1:]"),
        recurs=("sum", "count", "list"),
    )


def amounts(rng: Random) -> Source:
    """Draw the values of a dictionary."""
    measured = rng.random() < 0.5
    noun, nouns = rng.choice(MEASURED_NOUNS) if measured else ("value", "values")
    of = f" of {nouns}" if measured else ""
    name = nouns if measured else "data"
    return Source(
        name="dict_values",
        kind="number",
        noun=noun,
        nouns=nouns,
        code=f"{name}.values()",
        params=name,
        inputs=("prices" if measured else "amounts",),
        takes=(f"a dictionary{of}",),
        outside=(f" in a dictionary{of}", f" of a dictionary{of}"),
        inside=("", " in it", " in the dictionary"),
        measured=measured,
    )


RANGE = Source(
    name="range",
    kind="number",
    noun="number",
    code="range(1, n + 1)",
    params="n",
    inputs=("natural",),
    takes=("a number n", "an integer n"),
    outside=(" from 1 to n",),
    inside=(" from 1 to n",),
    counter=("number = 1", "number <= n", "", "number += 1"),
    recursion=("n == 0", "n", "n - 1"),
    recurs=("sum", "product", "count"),
    checks=NATURAL_CHECKS,
    changes=NATURAL_CHANGES,
)
SPAN = Source(
    name="span",
    kind="number",
    noun="number",
    code="range(start, end + 1)",
    params="start, end",
    inputs=("small", "natural"),
    takes=("two numbers start and end",),
    outside=(" from start to end",),
    inside=(" from start to end",),
    counter=("number = start", "number <= end", "", "number += 1"),
    checks=NATURAL_CHECKS,
    changes=NATURAL_CHANGES,
)
DIGITS = Source(
    name="digits",
    kind="number",
    noun="digit",
    code="map(int, str(number))",
    params="number",
    inputs=("digits",),
    takes=("a number", "a positive integer"),
    outside=(" of a number", " in a number"),
    inside=("", " of the number"),
    counter=("", "number > 0", "digit = number % 10", "number //= 10"),
    backwards=True,
    recursion=("number == 0", "number % 10", "number // 10"),
    recurs=("sum", "product", "count"),
    checks=DIGIT_CHECKS,
    changes=DIGIT_CHANGES,
)
DIVISORS = Source(
    name="divisors",
    kind="number",
    noun="divisor",
    code="range(1, number + 1)",
    params="number",
    inputs=("natural",),
    takes=("a number", "a positive integer"),
    outside=(" of a number",),
    inside=("", " of the number"),
    condition="number % divisor == 0",
    counter=("divisor = 1", "divisor <= number", "", "divisor += 1"),
    checks=NATURAL_CHECKS,
    changes=NATURAL_CHANGES,
)
ROWS = Source(
    name="rows",
    kind="number",
    noun="number",
    code="row",
    params="rows",
    inputs=("rows",),
    takes=("a list of lists of numbers", "a matrix"),
    outside=(" in a list of lists", " in a matrix"),
    inside=("", " in it"),
    outer="for row in rows",
)
SENTENCE = Source(
    name="sentence",
    kind="word",
    noun="word",
    code="sentence.split()",
    params="sentence",
    inputs=("sentence",),
    takes=("a sentence",),
    outside=(" in a sentence", " of a sentence"),
    inside=("", " in it", " in the sentence"),
)
KEYS = Source(
    name="dict_keys",
    kind="word",
    noun="key",
    code="data",
    inputs=("amounts",),
    takes=("a dictionary",),
    outside=(" of a dictionary", " in a dictionary"),
    inside=("", " in it", " of the dictionary"),
)
TEXT = Source(
    name="text",
    kind="char",
    noun="character",
    var="char",
    code="text",
    inputs=("text",),
    takes=("a string", "a text"),
    outside=(" in a string", " of a string", " in a text"),
    inside=("", " in it"),
    recursion=("not text", "text[0]", "text[1:]"),
    recurs=("count", "list", "string"),
)
TABLE = replace(
    ROWS,
    name="table",
    kind="row",
    noun="row",
    nouns="rows",
    var="row",
    code="rows",
    outer="",
    outside=(" of a matrix", " in a matrix", " of a list of lists"),
)
PEOPLE = Source(
    name="people",
    kind="person",
    noun="person",
    nouns="people",
    code="people",
    inputs=("people",),
    takes=("a list of people with name, age and city", "a list of dictionaries of people"),
    outside=(" in a list of dictionaries", " in a list"),
    inside=("", " in it"),
)
PRODUCTS = Source(
    name="products",
    kind="product",
    noun="product",
    var="item",
    code="products",
    inputs=("products",),
    takes=("a list of products with name, price and stock", "a list of dictionaries of products"),
    outside=(" in a list of dictionaries", " in a list"),
    inside=("", " in it"),
)
COMMON = Source(
    name="common",
    kind="number",
    noun="number",
    code="first",
    params="first, second",
    inputs=("few", "few"),
    takes=("two lists of numbers", "two lists"),
    outside=(" in both of two lists",),
    inside=(" in both lists", " in both"),
    condition="number in second",
)
ONLY_FIRST = replace(
    COMMON,
    name="only_first",
    outside=(" in one list but not in another",),
    inside=(" in the first list but not in the second", " in the first but not in the second"),
    condition="number not in second",
)
JOINED = replace(
    COMMON,
    name="joined",
    code="first + second",
    outside=(" in two lists together", " in two lists"),
    inside=(" in both lists together", " in them"),
    condition="",
)
FIXED: tuple[Source, ...] = (
    TABLE,
    TABLE,
    PEOPLE,
    PEOPLE,
    PRODUCTS,
    PRODUCTS,
    COMMON,
    ONLY_FIRST,
    JOINED,
)

FIXED += (RANGE, SPAN, DIGITS, DIVISORS, ROWS, SENTENCE, KEYS, TEXT, TEXT)
DRAWERS: tuple[Callable[[Random], Source], ...] = (
    number_list,
    number_list,
    number_list,
    lambda rng: number_list(rng, "first"),
    lambda rng: number_list(rng, "last"),
    amounts,
    word_list,
    word_list,
    *([lambda rng: rng.choice(FIXED)] * len(FIXED)),
)


def draw_source(rng: Random) -> Source:
    """Draw a source."""
    return rng.choice(DRAWERS)(rng)
