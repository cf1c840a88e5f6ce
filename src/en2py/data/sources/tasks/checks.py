"""The checks: conditions on one element of a stream.

In code `{x}` is the element; values such as `{k}` are drawn once, for code and description alike.
"""

from random import Random

from en2py.data.sources.tasks.primitives import Check, alternatives, draw, rows

MEASURED = {"greater", "less", "at_least", "at_most"}  # also for prices, ages and the like

# By the kind of the element: name | condition | opposite condition | phrases. A phrase is an
# `adjective` before the noun, a complement of `is`, a plural `noun` and its singular, or else a
# verb phrase in the plural.
TABLES = {
    "number": """
even | {x} % 2 == 0 | {x} % 2 != 0 | adjective even
odd | {x} % 2 == 1 | {x} % 2 != 1 | adjective odd
positive | {x} > 0 | {x} <= 0 | adjective positive / is greater than zero
negative | {x} < 0 | {x} >= 0 | adjective negative / is less than zero
divisible | {x} % {k} == 0 | {x} % {k} != 0 | is divisible by {k} \
    / noun multiples of {k}, multiple of {k}
not_divisible | {x} % {k} != 0 | {x} % {k} == 0 | is not divisible by {k}
greater | {x} > {t} | {x} <= {t} | is greater than {t} / is larger than {t} / is above {t}
less | {x} < {t} | {x} >= {t} | is less than {t} / is smaller than {t} / is below {t}
at_least | {x} >= {t} | {x} < {t} | is at least {t}
at_most | {x} <= {t} | {x} > {t} | is at most {t}
between | {b} <= {x} <= {t} | not {b} <= {x} <= {t} | is between {b} and {t}
ends_in | {x} % 10 == {d} | {x} % 10 != {d} | end in {d} / end with {d}
two_digits | 10 <= {x} <= 99 | not 10 <= {x} <= 99 | have two digits
prime | is_prime({x}) | not is_prime({x}) | adjective prime
palindrome_number | str({x}) == str({x})[::-1] | str({x}) != str({x})[::-1] \
    | noun palindromes, palindrome
not_equal | {x} != {d} | {x} == {d} | is not equal to {d}
""",
    "word": """
starts | {x}.startswith('{c}') | not {x}.startswith('{c}') | start with "{c}" \
    / begin with "{c}" / start with the letter "{c}"
ends | {x}.endswith('{c}') | not {x}.endswith('{c}') | end with "{c}" / end with the letter "{c}"
contains | '{c}' in {x} | '{c}' not in {x} | contain "{c}" / contain the letter "{c}"
lacks | '{c}' not in {x} | '{c}' in {x} | do not contain "{c}" / do not contain the letter "{c}"
longer | len({x}) > {n} | len({x}) <= {n} | is longer than {n} letters \
    / is longer than {n} characters / have more than {n} letters
shorter | len({x}) < {n} | len({x}) >= {n} | is shorter than {n} letters \
    / is shorter than {n} characters / have fewer than {n} letters
length | len({x}) == {n} | len({x}) != {n} | have exactly {n} letters / have {n} letters
palindrome | {x} == {x}[::-1] | {x} != {x}[::-1] | noun palindromes, palindrome
starts_vowel | {x}[0] in 'aeiou' | {x}[0] not in 'aeiou' | start with a vowel / begin with a vowel
ends_vowel | {x}[-1] in 'aeiou' | {x}[-1] not in 'aeiou' | end with a vowel
""",
    "char": """
vowel | {x} in 'aeiou' | {x} not in 'aeiou' | noun vowels, vowel
not_vowel | {x} not in 'aeiou' | {x} in 'aeiou' | are not vowels
digit | {x}.isdigit() | not {x}.isdigit() | noun digits, digit
letter | {x}.isalpha() | not {x}.isalpha() | noun letters, letter
upper | {x}.isupper() | not {x}.isupper() | noun uppercase letters, uppercase letter \
    / noun capital letters, capital letter
lower | {x}.islower() | not {x}.islower() | noun lowercase letters, lowercase letter
not_space | {x} != ' ' | {x} == ' ' | are not spaces
among | {x} in '{c}{e}' | {x} not in '{c}{e}' | is equal to "{c}" or "{e}"
""",
    "row": """
long_row | len({x}) > {b} | len({x}) <= {b} | have more than {b} elements
contains_number | {d} in {x} | {d} not in {x} | contain {d} / contain the number {d}
lacks_number | {d} not in {x} | {d} in {x} | do not contain {d}
""",
    "person": """
older | {x}['age'] > {t} | {x}['age'] <= {t} | is older than {t}
younger | {x}['age'] < {t} | {x}['age'] >= {t} | is younger than {t}
name_starts | {x}['name'].startswith('{c}') | not {x}['name'].startswith('{c}') \
    | have a name that starts with "{c}"
from_city | {x}['city'] == '{v}' | {x}['city'] != '{v}' | is from {v} / live in {v}
""",
    "product": """
costly | {x}['price'] > {t} | {x}['price'] <= {t} | is more expensive than {t} \
    / cost more than {t}
cheap | {x}['price'] < {t} | {x}['price'] >= {t} | is cheaper than {t} / cost less than {t}
in_stock | {x}['stock'] > 0 | {x}['stock'] <= 0 | is in stock
sold_out | {x}['stock'] == 0 | {x}['stock'] != 0 | adjective sold out
""",
}


def _check(kind: str, name: str, code: str, negated: str, phrases: str) -> Check:
    by_form: dict[str, list[str]] = {"adjective": [], "is": [], "noun": [], "": []}
    for phrase in alternatives(phrases):
        form, _, text = phrase.partition(" ")
        by_form[form if form in by_form else ""].append(text if form in by_form else phrase)
    nouns = (noun.split(", ") for noun in by_form["noun"])
    return Check(
        name,
        code,
        negated,
        kind,
        adjectives=tuple(by_form["adjective"]),
        after=tuple(by_form["is"]),
        verbs=tuple(by_form[""]),
        nouns=tuple((plural, singular) for plural, singular in nouns),
        measured=name in MEASURED,
    )


CHECKS = [_check(kind, *row) for kind, table in TABLES.items() for row in rows(table, 4)]


def draw_check(rng: Random, kind: str, measured: bool = False) -> Check:
    """Draw a check of elements of a kind."""
    return draw(rng, rng.choice([c for c in CHECKS if c.kind == kind and c.measured >= measured]))
