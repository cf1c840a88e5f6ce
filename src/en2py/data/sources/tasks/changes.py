"""The changes: operations on one element of a stream.

In code `{x}` is the element; values such as `{k}` are drawn once, for code and description alike.
"""

from random import Random

from en2py.data.sources.tasks.primitives import Change, alternatives, draw, rows

MEASURED = {"double", "triple", "times", "plus", "minus"}  # also for prices, ages and the like

# By the kind of the element: name (> kind of the result, where it is no number) | expression
# | verb phrases | plural and singular noun of the result
TABLES = {
    "number": """
square | {x} ** 2 | [square] {it} | squares, square
cube | {x} ** 3 | [cube] {it} | cubes, cube
double | {x} * 2 | [double] {it} | doubles, double
triple | {x} * 3 | [triple] {it}
halve | {x} // 2 | [halve] {it} rounding down
times | {x} * {f} | [multiply] {it} by {f}
plus | {x} + {t} | [add] {t} to {it} / [increase] {it} by {t}
minus | {x} - {t} | [subtract] {t} from {it} / [decrease] {it} by {t}
negate | -{x} | [negate] {it} / [change] the sign of {it}
absolute | abs({x}) | [take] the absolute value of {it} | absolute values, absolute value
remainder | {x} % {k} | [divide] {it} by {k} and [keep] the remainder \
    | remainders modulo {k}, remainder modulo {k}
last_digit | {x} % 10 | [take] the last digit of {it} | last digits, last digit
digit_sum | sum(map(int, str({x}))) | [take] the digit sum of {it} \
    / [add] up the digits of {it} | digit sums, digit sum
n_digits | len(str({x})) | [count] the digits of {it} | digit counts, digit count
reverse_digits | int(str({x})[::-1]) | [reverse] the digits of {it}
factorial | factorial({x}) | [take] the factorial of {it} | factorials, factorial
string > word | str({x}) | [convert] {it} to a string / [turn] {it} into a string
binary > word | bin({x})[2:] | [convert] {it} to binary
""",
    "word": """
to_upper > word | {x}.upper() | [convert] {it} to uppercase / [convert] {it} to upper case \
    / [change] {it} to uppercase
capitalize > word | {x}.capitalize() | [capitalize] {it}
reverse > word | {x}[::-1] | [reverse] {it}
length | len({x}) | [take] the length of {it} / [count] the letters of {it} | lengths, length
first_letter > word | {x}[0] | [take] the first letter of {it} | first letters, first letter
last_letter > word | {x}[-1] | [take] the last letter of {it} | last letters, last letter
prefix > word | {x}[:{p}] | [keep] the first {p} letters of {it} / [cut] {it} to {p} letters
drop_first > word | {x}[1:] | [remove] the first letter of {it}
repeat > word | {x} * {p} | [repeat] {it} {p} times
append > word | {x} + '{c}' | [add] "{c}" to the end of {it}
replace > word | {x}.replace('{c}', '{e}') | [replace] "{c}" by "{e}" in {it} \
    / [replace] "{c}" with "{e}" in {it}
count_letter | {x}.count('{c}') | [count] the letter "{c}" in {it} \
    / [count] how often "{c}" occurs in {it}
""",
    "char": """
char_upper > char | {x}.upper() | [convert] {it} to uppercase / [convert] {it} to upper case
char_twice > char | {x} * 2 | [double] {it} / [write] {it} twice
char_code | ord({x}) | [take] the character code of {it} | character codes, character code
char_dash > char | {x} + '-' | [add] a dash after {it} / [put] a hyphen after {it}
""",
    "row": """
row_sum | sum({x}) | [add] up {it} | sums, sum
row_max | max({x}) | [find] the largest element of {it} | maximums, maximum
row_min | min({x}) | [find] the smallest element of {it} | minimums, minimum
row_length | len({x}) | [count] the elements of {it} | lengths, length
row_first | {x}[0] | [take] the first element of {it} | first elements, first element
row_last | {x}[-1] | [take] the last element of {it} | last elements, last element
row_sorted > row | sorted({x}) | [sort] {it}
row_reversed > row | {x}[::-1] | [reverse] {it}
""",
    "person": """
person_name > word | {x}['name'] | [take] the name of {it} | names, name
person_age | {x}['age'] | [take] the age of {it} | ages, age
person_city > word | {x}['city'] | [take] the city of {it} | cities, city
""",
    "product": """
product_name > word | {x}['name'] | [take] the name of {it} | names, name
product_price | {x}['price'] | [take] the price of {it} | prices, price
product_stock | {x}['stock'] | [take] the stock of {it} | stocks, stock
product_worth | {x}['price'] * {x}['stock'] | [multiply] the price by the stock of {it}
""",
}


def _change(kind: str, name: str, code: str, verbs: str, nouns: str) -> Change:
    name, _, to = name.partition(" > ")
    plural, _, singular = nouns.partition(", ")
    return Change(
        name,
        code,
        alternatives(verbs),
        ((plural, singular),) if nouns else (),
        kind,
        to or "number",
        name in MEASURED,
    )


CHANGES = [_change(kind, *row) for kind, table in TABLES.items() for row in rows(table, 4)]


def draw_change(rng: Random, kind: str, to: str = "", measured: bool = False) -> Change:
    """Draw a change of elements of a kind; `to` is the kind of the result, if it matters."""
    fits = [c for c in CHANGES if c.kind == kind and c.to.startswith(to) and c.measured >= measured]
    return draw(rng, rng.choice(fits))
