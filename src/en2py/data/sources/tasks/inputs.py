"""Draw arguments for tests, such that conditions hold for some elements and not for others."""

import re
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from en2py.data.sources.tasks.primitives import CITIES

WORDS = (
    "apple level banana noon cherry radar orange civic lemon kayak melon table chair house river "
    "tree stone cloud hat cat dog bird otter panda tiger eagle moon sun star echo area idea "
    "umbrella ocean elephant music code data test paper pencil robot school teacher "
    "summer winter bread"
).split()
NAMES = ("anna", "ben", "carla", "daniel", "emma", "hugo", "laura", "oscar", "paul", "tom")
PRODUCT_NAMES = ("apple", "bread", "cheese", "honey", "lemon", "milk", "orange", "rice", "tea")
SENTENCES = (
    "the quick brown fox jumps over the lazy dog",
    "a stitch in time saves nine",
    "anna went to the market at noon",
    "every cloud has a silver lining",
    "practice makes perfect",
    "better late than never",
    "an apple a day keeps the doctor away",
    "level up your code",
)
TEXTS = (
    "Hello World",
    "Python 3",
    "a1b2c3",
    "Data Science 101",
    "Mississippi",
    "ABC abc",
    "racecar",
)


@cache
def _around(code: str) -> tuple[int, tuple[int, ...]]:
    """Return the lowest valid number for a program, and numbers near which it may branch."""
    low = 0 if re.search(r"int\(|str\(", code) else -15  # no digits in "-12"
    return low, tuple(k for k in map(int, re.findall(r"(?<![\w.])\d+", code)) if k > 1)


def number(rng: Random, code: str) -> int:
    """Draw a number near a constant of the program."""
    low, near = _around(code)
    if "factorial" in code or "fibonacci" in code:
        return rng.randint(0, 6)
    if near and rng.random() < 0.5:
        value = rng.choice(near) + rng.randint(-1, 1)
    else:
        value = rng.randint(*rng.choice(((-15, 30), (1, 12), (1, 60))))
    return abs(value) if low == 0 else value


def draw_argument(rng: Random, kind: str, code: str) -> Any:
    """Draw an argument of a kind for a program."""
    match kind:
        case "number":
            return number(rng, code)
        case "natural":
            return rng.choice([rng.randint(1, 12), rng.randint(5, 30)])
        case "small":
            return rng.randint(1, 6)
        case "hundred":
            return rng.choice((rng.randint(20, 99), rng.randint(100, 600)))
        case "numeral":
            return rng.choice((str(number(rng, code)), rng.choice(("abc", "", "x7", "ten"))))
        case "similar":
            return rng.choice(("ab", "ba", "Ab", "aba", "abba", "BA", "level", "a b", "noon"))
        case "digits":
            return rng.randint(100, 99999)
        case "numbers":
            size = rng.randint(4, 7)
            return [number(rng, code) for _ in range(size)]
        case "measures":
            return [abs(number(rng, code)) for _ in range(rng.randint(4, 7))]
        case "prices":
            return {name: abs(number(rng, code)) for name in rng.sample(WORDS, rng.randint(3, 5))}
        case "word":
            return rng.choice(WORDS)
        case "words":
            return _words(rng, code, rng.randint(3, 6))
        case "text":
            return rng.choice([*TEXTS, " ".join(_words(rng, code, 2))])
        case "sentence":
            return rng.choice([*SENTENCES, " ".join(_words(rng, code, rng.randint(3, 6)))])
        case "amounts":
            names = rng.sample(WORDS, rng.randint(3, 5))
            return {name: number(rng, code) for name in names}
        case "pairs":
            names = rng.sample(WORDS, rng.randint(3, 5))
            return [(name, number(rng, code)) for name in names]
        case "rows":
            sizes = [rng.randint(1, 5) for _ in range(rng.randint(2, 4))]
            return [[number(rng, code) for _ in range(size)] for size in sizes]
        case "small_dict":
            return {name: number(rng, code) for name in rng.sample(WORDS[:8], rng.randint(2, 4))}
        case "dict_of_lists":
            names = rng.sample(WORDS, rng.randint(2, 3))
            return {name: [number(rng, code) for _ in range(rng.randint(2, 4))] for name in names}
        case "few":
            return [rng.randint(1, 20) for _ in range(rng.randint(4, 7))]
        case "people":
            return [_person(rng, code) for _ in range(rng.randint(2, 4))]
        case "products":
            return [_product(rng, code) for _ in range(rng.randint(2, 4))]
        case "nested":
            flat = [number(rng, code) for _ in range(5)]
            return [flat[0], flat[1:3], [flat[3], [flat[4]]]]
    raise ValueError(f"no arguments of kind {kind}")


def arguments(rng: Random, kinds: tuple[str, ...], code: str) -> str:
    """Draw the arguments of a call, as code."""
    return ", ".join(repr(draw_argument(rng, kind, code)) for kind in kinds)


def _words(rng: Random, code: str, size: int) -> list[str]:
    """Draw words, half of them with the letters in the program."""
    letters = re.findall(r"'([a-z])'", code)
    fits = [word for word in WORDS if any(letter in word for letter in letters)]
    return [rng.choice(fits if fits and rng.random() < 0.5 else WORDS) for _ in range(size)]


def _person(rng: Random, code: str) -> dict[str, Any]:
    city = rng.choice(CITIES)
    return {"name": rng.choice(NAMES), "age": abs(number(rng, code)), "city": city}


def _product(rng: Random, code: str) -> dict[str, Any]:
    stock = rng.choice((0, 1, 5, 8))
    return {"name": rng.choice(PRODUCT_NAMES), "price": abs(number(rng, code)), "stock": stock}


def caller(name: str, kinds: tuple[str, ...], code: str) -> Callable[[Random], str]:
    """Return a function that draws calls of a function."""
    return lambda rng: f"{name}({arguments(rng, kinds, code)})"
