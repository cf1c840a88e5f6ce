"""The words of the grammar: what can be asked of one element, and what can be done to it.

In code `{x}` is the element. Values (`{k}`, `{c}`, ...) are drawn once, for code and English alike.
"""

import re
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

NUMBERS = {
    "k": (3, 4, 5, 6, 7, 8, 9, 10),  # divisors
    "n": (3, 4, 5, 6, 7),  # lengths of words
    "p": (2, 3, 4),  # times, first letters
    "f": (4, 5, 6, 7, 8, 9, 10),  # factors; twice and three times have words of their own
    "t": (5, 10, 12, 15, 18, 20, 25, 30, 40, 50),  # thresholds
    "b": (1, 2, 3, 4),  # lower ends
    "d": (0, 1, 2, 3, 5, 7, 9),  # digits
}
CITIES = ("Paris", "London", "Rome", "Berlin", "Madrid")
LETTERS = "abcdehlmnoprst"


@dataclass(frozen=True)
class Check:
    """A yes-or-no question about one element.

    Attributes:
        name: The primitive.
        code: A condition on `{x}`.
        negated: The opposite condition.
        kind: What it is asked of: `number`, `word` or `char`.
        adjectives: Words for before the noun: `even` numbers.
        after: Words for after it, with "is" before a verb is wanted: numbers `greater than 5`.
        verbs: Verb phrases, plural: numbers that `end in 7`.
        nouns: Nouns that say it all, (plural, singular): `vowels`.
        measured: Also makes sense for prices, ages and the like.
    """

    name: str
    code: str
    negated: str
    kind: str = "number"
    adjectives: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    nouns: tuple[tuple[str, str], ...] = ()
    measured: bool = False

    def on(self, x: str) -> str:
        """Write the condition on an expression."""
        return self.code.replace("{x}", f"({x})")

    def fails_on(self, x: str) -> str:
        """Write the opposite condition."""
        return self.negated.replace("{x}", f"({x})")

    def predicate(self, rng: Random, plural: bool) -> str:
        """Draw a verb phrase: `are even`, `ends in 7`."""
        be = "are" if plural else "is"
        options = [f"{be} {text}" for text in (*self.adjectives, *self.after)]
        options += [text if plural else _singular(text) for text in self.verbs]
        options += [f"are {many}" if plural else f"is a {one}" for many, one in self.nouns]
        return rng.choice(options)


@dataclass(frozen=True)
class Change:
    """Something to make of one element.

    Attributes:
        name: The primitive.
        code: An expression of `{x}`.
        verbs: What to do with `{it}`: `[multiply] {it} by 3`.
        nouns: (plural, singular) of what comes out: the `squares` of the numbers; may be empty.
        kind: What it is done to.
        to: What comes out.
        measured: Also makes sense for prices, ages and the like.
    """

    name: str
    code: str
    verbs: tuple[str, ...]
    nouns: tuple[tuple[str, str], ...] = ()
    kind: str = "number"
    to: str = "number"
    measured: bool = False

    def on(self, x: str) -> str:
        """Write the expression for an element."""
        return self.code.replace("{x}", f"({x})")

    def verb(self, rng: Random, it: str) -> str:
        """Draw a clause that does it."""
        return rng.choice(self.verbs).replace("{it}", it)


CHECKS = (
    Check("even", "{x} % 2 == 0", "{x} % 2 != 0", adjectives=("even",)),
    Check("odd", "{x} % 2 == 1", "{x} % 2 != 1", adjectives=("odd",)),
    Check(
        "positive", "{x} > 0", "{x} <= 0", adjectives=("positive",), after=("greater than zero",)
    ),
    Check("negative", "{x} < 0", "{x} >= 0", adjectives=("negative",), after=("less than zero",)),
    Check(
        "divisible",
        "{x} % {k} == 0",
        "{x} % {k} != 0",
        after=("divisible by {k}",),
        nouns=(("multiples of {k}", "multiple of {k}"),),
    ),
    Check("not_divisible", "{x} % {k} != 0", "{x} % {k} == 0", after=("not divisible by {k}",)),
    Check(
        "greater",
        "{x} > {t}",
        "{x} <= {t}",
        after=("greater than {t}", "larger than {t}", "above {t}"),
        measured=True,
    ),
    Check(
        "less",
        "{x} < {t}",
        "{x} >= {t}",
        after=("less than {t}", "smaller than {t}", "below {t}"),
        measured=True,
    ),
    Check("at_least", "{x} >= {t}", "{x} < {t}", after=("at least {t}",), measured=True),
    Check("at_most", "{x} <= {t}", "{x} > {t}", after=("at most {t}",), measured=True),
    Check("between", "{b} <= {x} <= {t}", "not {b} <= {x} <= {t}", after=("between {b} and {t}",)),
    Check("ends_in", "{x} % 10 == {d}", "{x} % 10 != {d}", verbs=("end in {d}", "end with {d}")),
    Check("two_digits", "10 <= {x} <= 99", "not 10 <= {x} <= 99", verbs=("have two digits",)),
    Check("prime", "is_prime({x})", "not is_prime({x})", adjectives=("prime",)),
    Check(
        "palindrome_number",
        "str({x}) == str({x})[::-1]",
        "str({x}) != str({x})[::-1]",
        nouns=(("palindromes", "palindrome"),),
    ),
    Check("not_equal", "{x} != {d}", "{x} == {d}", after=("not equal to {d}",)),
    Check(
        "starts",
        "{x}.startswith('{c}')",
        "not {x}.startswith('{c}')",
        "word",
        verbs=('start with "{c}"', 'begin with "{c}"', 'start with the letter "{c}"'),
    ),
    Check(
        "ends",
        "{x}.endswith('{c}')",
        "not {x}.endswith('{c}')",
        "word",
        verbs=('end with "{c}"', 'end with the letter "{c}"'),
    ),
    Check(
        "contains",
        "'{c}' in {x}",
        "'{c}' not in {x}",
        "word",
        verbs=('contain "{c}"', 'contain the letter "{c}"'),
    ),
    Check(
        "lacks",
        "'{c}' not in {x}",
        "'{c}' in {x}",
        "word",
        verbs=('do not contain "{c}"', 'do not contain the letter "{c}"'),
    ),
    Check(
        "longer",
        "len({x}) > {n}",
        "len({x}) <= {n}",
        "word",
        after=("longer than {n} letters", "longer than {n} characters"),
        verbs=("have more than {n} letters",),
    ),
    Check(
        "shorter",
        "len({x}) < {n}",
        "len({x}) >= {n}",
        "word",
        after=("shorter than {n} letters", "shorter than {n} characters"),
        verbs=("have fewer than {n} letters",),
    ),
    Check(
        "length",
        "len({x}) == {n}",
        "len({x}) != {n}",
        "word",
        verbs=("have exactly {n} letters", "have {n} letters"),
    ),
    Check(
        "palindrome",
        "{x} == {x}[::-1]",
        "{x} != {x}[::-1]",
        "word",
        nouns=(("palindromes", "palindrome"),),
    ),
    Check(
        "starts_vowel",
        "{x}[0] in 'aeiou'",
        "{x}[0] not in 'aeiou'",
        "word",
        verbs=("start with a vowel", "begin with a vowel"),
    ),
    Check(
        "ends_vowel",
        "{x}[-1] in 'aeiou'",
        "{x}[-1] not in 'aeiou'",
        "word",
        verbs=("end with a vowel",),
    ),
    Check("vowel", "{x} in 'aeiou'", "{x} not in 'aeiou'", "char", nouns=(("vowels", "vowel"),)),
    Check(
        "not_vowel",
        "{x} not in 'aeiou'",
        "{x} in 'aeiou'",
        "char",
        verbs=("are not vowels",),
    ),
    Check("digit", "{x}.isdigit()", "not {x}.isdigit()", "char", nouns=(("digits", "digit"),)),
    Check("letter", "{x}.isalpha()", "not {x}.isalpha()", "char", nouns=(("letters", "letter"),)),
    Check(
        "upper",
        "{x}.isupper()",
        "not {x}.isupper()",
        "char",
        nouns=(("uppercase letters", "uppercase letter"), ("capital letters", "capital letter")),
    ),
    Check(
        "lower",
        "{x}.islower()",
        "not {x}.islower()",
        "char",
        nouns=(("lowercase letters", "lowercase letter"),),
    ),
    Check("not_space", "{x} != ' '", "{x} == ' '", "char", verbs=("are not spaces",)),
    Check(
        "among",
        "{x} in '{c}{e}'",
        "{x} not in '{c}{e}'",
        "char",
        after=('equal to "{c}" or "{e}"',),
    ),
    Check(
        "long_row",
        "len({x}) > {b}",
        "len({x}) <= {b}",
        "row",
        verbs=("have more than {b} elements",),
    ),
    Check(
        "contains_number",
        "{d} in {x}",
        "{d} not in {x}",
        "row",
        verbs=("contain {d}", "contain the number {d}"),
    ),
    Check("lacks_number", "{d} not in {x}", "{d} in {x}", "row", verbs=("do not contain {d}",)),
    Check("older", "{x}['age'] > {t}", "{x}['age'] <= {t}", "person", after=("older than {t}",)),
    Check(
        "younger", "{x}['age'] < {t}", "{x}['age'] >= {t}", "person", after=("younger than {t}",)
    ),
    Check(
        "name_starts",
        "{x}['name'].startswith('{c}')",
        "not {x}['name'].startswith('{c}')",
        "person",
        verbs=('have a name that starts with "{c}"',),
    ),
    Check(
        "from_city",
        "{x}['city'] == '{v}'",
        "{x}['city'] != '{v}'",
        "person",
        after=("from {v}",),
        verbs=("live in {v}",),
    ),
    Check(
        "costly",
        "{x}['price'] > {t}",
        "{x}['price'] <= {t}",
        "product",
        after=("more expensive than {t}",),
        verbs=("cost more than {t}",),
    ),
    Check(
        "cheap",
        "{x}['price'] < {t}",
        "{x}['price'] >= {t}",
        "product",
        after=("cheaper than {t}",),
        verbs=("cost less than {t}",),
    ),
    Check("in_stock", "{x}['stock'] > 0", "{x}['stock'] <= 0", "product", after=("in stock",)),
    Check(
        "sold_out", "{x}['stock'] == 0", "{x}['stock'] != 0", "product", adjectives=("sold out",)
    ),
)

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

PrimitiveT = TypeVar("PrimitiveT", Check, Change)


def draw(rng: Random, primitive: PrimitiveT) -> PrimitiveT:
    """Draw the values of a primitive."""
    first, second = rng.sample(LETTERS, 2)
    values = {name: str(rng.choice(numbers)) for name, numbers in NUMBERS.items()}
    values |= {"c": first, "e": second, "v": rng.choice(CITIES)}

    def put(field: object) -> object:
        if isinstance(field, tuple):
            return tuple(put(item) for item in field)
        if not isinstance(field, str):
            return field
        return re.sub(r"\{(\w)\}", lambda m: values.get(m[1], m[0]), field)

    fields = ("code", "negated", "after", "verbs", "nouns")
    kept = {name: put(getattr(primitive, name)) for name in fields if hasattr(primitive, name)}
    return replace(primitive, **kept)  # type: ignore[arg-type]


def draw_check(rng: Random, kind: str, measured: bool = False) -> Check:
    """Draw a question that can be asked of such an element."""
    return draw(rng, rng.choice([c for c in CHECKS if c.kind == kind and c.measured >= measured]))


def draw_change(rng: Random, kind: str, to: str = "", measured: bool = False) -> Change:
    """Draw something to make of such an element; `to` says what must come out, if it matters."""
    fits = [c for c in CHANGES if c.kind == kind and c.to.startswith(to) and c.measured >= measured]
    return draw(rng, rng.choice(fits))


def _singular(verb_phrase: str) -> str:
    """Turn `end in 7`, said of many, into `ends in 7`, said of one."""
    verb, _, rest = verb_phrase.partition(" ")
    verb = {"are": "is", "have": "has", "do": "does"}.get(verb, verb + "s")
    if rest.startswith("not ") and rest.endswith(("vowels", "spaces")):
        rest = "not a " + rest[4:-1]
    return f"{verb} {rest}"
