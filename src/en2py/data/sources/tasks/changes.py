"""Everything that can be made of one element.

In code `{x}` is the element; values such as `{k}` are drawn once, for code and English alike.
"""

from random import Random

from en2py.data.sources.tasks.primitives import Change, draw

CHANGES = (
    Change("square", "{x} ** 2", ("[square] {it}",), (("squares", "square"),)),
    Change("cube", "{x} ** 3", ("[cube] {it}",), (("cubes", "cube"),)),
    Change("double", "{x} * 2", ("[double] {it}",), (("doubles", "double"),), measured=True),
    Change("triple", "{x} * 3", ("[triple] {it}",), measured=True),
    Change("halve", "{x} // 2", ("[halve] {it} rounding down",)),
    Change("times", "{x} * {f}", ("[multiply] {it} by {f}",), measured=True),
    Change("plus", "{x} + {t}", ("[add] {t} to {it}", "[increase] {it} by {t}"), measured=True),
    Change(
        "minus",
        "{x} - {t}",
        ("[subtract] {t} from {it}", "[decrease] {it} by {t}"),
        measured=True,
    ),
    Change("negate", "-{x}", ("[negate] {it}", "[change] the sign of {it}")),
    Change(
        "absolute",
        "abs({x})",
        ("[take] the absolute value of {it}",),
        (("absolute values", "absolute value"),),
    ),
    Change(
        "remainder",
        "{x} % {k}",
        ("[divide] {it} by {k} and [keep] the remainder",),
        (("remainders modulo {k}", "remainder modulo {k}"),),
    ),
    Change(
        "last_digit",
        "{x} % 10",
        ("[take] the last digit of {it}",),
        (("last digits", "last digit"),),
    ),
    Change(
        "digit_sum",
        "sum(map(int, str({x})))",
        ("[take] the digit sum of {it}", "[add] up the digits of {it}"),
        (("digit sums", "digit sum"),),
    ),
    Change(
        "n_digits",
        "len(str({x}))",
        ("[count] the digits of {it}",),
        (("digit counts", "digit count"),),
    ),
    Change(
        "reverse_digits",
        "int(str({x})[::-1])",
        ("[reverse] the digits of {it}",),
    ),
    Change(
        "factorial",
        "factorial({x})",
        ("[take] the factorial of {it}",),
        (("factorials", "factorial"),),
    ),
    Change(
        "string", "str({x})", ("[convert] {it} to a string", "[turn] {it} into a string"), to="word"
    ),
    Change("binary", "bin({x})[2:]", ("[convert] {it} to binary",), to="word"),
    Change(
        "to_upper",
        "{x}.upper()",
        (
            "[convert] {it} to uppercase",
            "[convert] {it} to upper case",
            "[change] {it} to uppercase",
        ),
        kind="word",
        to="word",
    ),
    Change("capitalize", "{x}.capitalize()", ("[capitalize] {it}",), kind="word", to="word"),
    Change("reverse", "{x}[::-1]", ("[reverse] {it}",), kind="word", to="word"),
    Change(
        "length",
        "len({x})",
        ("[take] the length of {it}", "[count] the letters of {it}"),
        (("lengths", "length"),),
        kind="word",
    ),
    Change(
        "first_letter",
        "{x}[0]",
        ("[take] the first letter of {it}",),
        (("first letters", "first letter"),),
        kind="word",
        to="word",
    ),
    Change(
        "last_letter",
        "{x}[-1]",
        ("[take] the last letter of {it}",),
        (("last letters", "last letter"),),
        kind="word",
        to="word",
    ),
    Change(
        "prefix",
        "{x}[:{p}]",
        ("[keep] the first {p} letters of {it}", "[cut] {it} to {p} letters"),
        kind="word",
        to="word",
    ),
    Change("drop_first", "{x}[1:]", ("[remove] the first letter of {it}",), kind="word", to="word"),
    Change("repeat", "{x} * {p}", ("[repeat] {it} {p} times",), kind="word", to="word"),
    Change("append", "{x} + '{c}'", ('[add] "{c}" to the end of {it}',), kind="word", to="word"),
    Change(
        "replace",
        "{x}.replace('{c}', '{e}')",
        ('[replace] "{c}" by "{e}" in {it}', '[replace] "{c}" with "{e}" in {it}'),
        kind="word",
        to="word",
    ),
    Change(
        "count_letter",
        "{x}.count('{c}')",
        ('[count] the letter "{c}" in {it}', '[count] how often "{c}" occurs in {it}'),
        kind="word",
    ),
    Change(
        "char_upper",
        "{x}.upper()",
        ("[convert] {it} to uppercase", "[convert] {it} to upper case"),
        kind="char",
        to="char",
    ),
    Change(
        "char_twice", "{x} * 2", ("[double] {it}", "[write] {it} twice"), kind="char", to="char"
    ),
    Change(
        "char_code",
        "ord({x})",
        ("[take] the character code of {it}",),
        (("character codes", "character code"),),
        kind="char",
    ),
    Change(
        "char_dash",
        "{x} + '-'",
        ("[add] a dash after {it}", "[put] a hyphen after {it}"),
        kind="char",
        to="char",
    ),
    Change("row_sum", "sum({x})", ("[add] up {it}",), (("sums", "sum"),), kind="row"),
    Change(
        "row_max",
        "max({x})",
        ("[find] the largest element of {it}",),
        (("maximums", "maximum"),),
        kind="row",
    ),
    Change(
        "row_min",
        "min({x})",
        ("[find] the smallest element of {it}",),
        (("minimums", "minimum"),),
        kind="row",
    ),
    Change(
        "row_length",
        "len({x})",
        ("[count] the elements of {it}",),
        (("lengths", "length"),),
        kind="row",
    ),
    Change(
        "row_first",
        "{x}[0]",
        ("[take] the first element of {it}",),
        (("first elements", "first element"),),
        kind="row",
    ),
    Change(
        "row_last",
        "{x}[-1]",
        ("[take] the last element of {it}",),
        (("last elements", "last element"),),
        kind="row",
    ),
    Change("row_sorted", "sorted({x})", ("[sort] {it}",), kind="row", to="row"),
    Change("row_reversed", "{x}[::-1]", ("[reverse] {it}",), kind="row", to="row"),
    Change(
        "person_name",
        "{x}['name']",
        ("[take] the name of {it}",),
        (("names", "name"),),
        kind="person",
        to="word",
    ),
    Change(
        "person_age", "{x}['age']", ("[take] the age of {it}",), (("ages", "age"),), kind="person"
    ),
    Change(
        "person_city",
        "{x}['city']",
        ("[take] the city of {it}",),
        (("cities", "city"),),
        kind="person",
        to="word",
    ),
    Change(
        "product_name",
        "{x}['name']",
        ("[take] the name of {it}",),
        (("names", "name"),),
        kind="product",
        to="word",
    ),
    Change(
        "product_price",
        "{x}['price']",
        ("[take] the price of {it}",),
        (("prices", "price"),),
        kind="product",
    ),
    Change(
        "product_stock",
        "{x}['stock']",
        ("[take] the stock of {it}",),
        (("stocks", "stock"),),
        kind="product",
    ),
    Change(
        "product_worth",
        "{x}['price'] * {x}['stock']",
        ("[multiply] the price by the stock of {it}",),
        kind="product",
    ),
)


def draw_change(rng: Random, kind: str, to: str = "", measured: bool = False) -> Change:
    """Draw something to make of such an element; `to` says what must come out, if it matters."""
    fits = [c for c in CHANGES if c.kind == kind and c.to.startswith(to) and c.measured >= measured]
    return draw(rng, rng.choice(fits))
