"""Every question that can be asked of one element.

In code `{x}` is the element; values such as `{k}` are drawn once, for code and English alike.
"""

from random import Random

from en2py.data.sources.tasks.primitives import Check, draw

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


def draw_check(rng: Random, kind: str, measured: bool = False) -> Check:
    """Draw a question that can be asked of such an element."""
    return draw(rng, rng.choice([c for c in CHECKS if c.kind == kind and c.measured >= measured]))
