"""Draw arguments for tests, such that conditions hold for some elements and not for others."""

import re
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task

_INPUTS = table("inputs")
_WORDS: tuple[str, ...] = _INPUTS["words"]


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
    return _KINDS[kind](rng, code)


def _numbers(rng: Random, code: str, least: int, most: int) -> list[int]:
    return [number(rng, code) for _ in range(rng.randint(least, most))]


def _mapping(
    rng: Random, code: str, least: int, most: int, words: tuple[str, ...] = _WORDS
) -> dict[str, int]:
    return {name: number(rng, code) for name in rng.sample(words, rng.randint(least, most))}


def _words(rng: Random, code: str, size: int) -> list[str]:
    """Draw words, half of them with the letters in the program."""
    letters = re.findall(r"'([a-z])'", code)
    fits = [word for word in _WORDS if any(letter in word for letter in letters)]
    return [rng.choice(fits if fits and rng.random() < 0.5 else _WORDS) for _ in range(size)]


def _person(rng: Random, code: str) -> dict[str, Any]:
    city, name = rng.choice(_INPUTS["cities"]), rng.choice(_INPUTS["names"])
    return {"name": name, "age": abs(number(rng, code)), "city": city}


def _product(rng: Random, code: str) -> dict[str, Any]:
    stock, name = rng.choice((0, 1, 5, 8)), rng.choice(_INPUTS["product_names"])
    return {"name": name, "price": abs(number(rng, code)), "stock": stock}


def _nested(rng: Random, code: str) -> list[Any]:
    flat = [number(rng, code) for _ in range(5)]
    return [flat[0], flat[1:3], [flat[3], [flat[4]]]]


def _some(rng: Random, most: int = 6) -> list[int]:
    return [rng.randint(1, 9) for _ in range(rng.randint(min(4, most), most))]


_KINDS: dict[str, Callable[[Random, str], Any]] = {
    "number": number,
    "natural": lambda rng, _: rng.choice([rng.randint(1, 12), rng.randint(5, 30)]),
    "small": lambda rng, _: rng.randint(1, 6),
    "hundred": lambda rng, _: rng.choice((rng.randint(20, 99), rng.randint(100, 600))),
    "numeral": lambda rng, code: rng.choice(
        (str(number(rng, code)), rng.choice(("abc", "", "x7", "ten")))
    ),
    "similar": lambda rng, _: rng.choice(
        ("ab", "ba", "Ab", "aba", "abba", "BA", "level", "a b", "noon")
    ),
    "digits": lambda rng, _: rng.randint(100, 99999),
    "numbers": lambda rng, code: _numbers(rng, code, 4, 7),
    "measures": lambda rng, code: [abs(n) for n in _numbers(rng, code, 4, 7)],
    "few": lambda rng, _: [rng.randint(1, 20) for _ in range(rng.randint(4, 7))],
    "word": lambda rng, _: rng.choice(_WORDS),
    "words": lambda rng, code: _words(rng, code, rng.randint(3, 6)),
    "text": lambda rng, code: rng.choice([*_INPUTS["texts"], " ".join(_words(rng, code, 2))]),
    "sentence": lambda rng, code: rng.choice(
        [*_INPUTS["sentences"], " ".join(_words(rng, code, rng.randint(3, 6)))]
    ),
    "amounts": lambda rng, code: _mapping(rng, code, 3, 5),
    "prices": lambda rng, code: {k: abs(n) for k, n in _mapping(rng, code, 3, 5).items()},
    "small_dict": lambda rng, code: _mapping(rng, code, 2, 4, _WORDS[:8]),
    "rows": lambda rng, code: [
        [number(rng, code) for _ in range(size)]
        for size in [rng.randint(1, 5) for _ in range(rng.randint(2, 4))]
    ],
    "dict_of_lists": lambda rng, code: {
        name: _numbers(rng, code, 2, 4) for name in rng.sample(_WORDS, rng.randint(2, 3))
    },
    "people": lambda rng, code: [_person(rng, code) for _ in range(rng.randint(2, 4))],
    "products": lambda rng, code: [_product(rng, code) for _ in range(rng.randint(2, 4))],
    "nested": _nested,
    # Of exercises alone.
    "positive": lambda rng, _: rng.randint(1, 40),
    "measure": lambda rng, _: rng.choice((rng.randint(1, 30), rng.randint(1, 60) / 2)),
    "special": lambda rng, _: rng.choice(_INPUTS["special"]),
    "index": lambda rng, _: rng.randint(0, 2),
    "year": lambda rng, _: rng.choice((1900, 2000, rng.randint(1900, 2100))),
    "three": lambda rng, _: _some(rng, 3),
    "tuple": lambda rng, _: tuple(_some(rng, 3)),
    "set": lambda rng, _: {n % 5 for n in _some(rng)[: rng.randint(1, 5)]},
    "square": lambda rng, _: [_some(rng, 2), _some(rng, 2)],
    "matrix": lambda rng, _: [_some(rng, 3) for _ in range(rng.randint(2, 3))],
    "numerals": lambda rng, _: [*map(str, _some(rng))],
    "bits": lambda rng, _: f"{rng.randint(1, 60):b}",
    "name": lambda rng, _: rng.choice(_INPUTS["names"]).capitalize(),
    "names": lambda rng, _: rng.sample(_INPUTS["names"], 3),
    "pairs": lambda rng, _: [*zip(rng.sample(_WORDS, 3), _some(rng, 3), strict=True)],
    "marked": lambda rng, _: rng.choice(_INPUTS["marked"]),
    "file": lambda rng, _: "\n".join(rng.sample(_INPUTS["sentences"], rng.randint(2, 4))),
    "date": lambda rng, _: (
        f"{rng.randint(1990, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    ),
}


def arguments(rng: Random, kinds: tuple[str, ...], code: str) -> str:
    """Draw the arguments of a call, as code."""
    return ", ".join(repr(draw_argument(rng, kind, code)) for kind in kinds)


def draw_call(rng: Random, task: Task) -> str:
    """Draw an expression that uses the program of a task, for one test."""
    if callable(task.call):
        return task.call(rng)
    name = task.code.partition("(")[0].removeprefix("def ")
    template = task.call or f"{name}({{arguments}})"
    return template.replace("{arguments}", arguments(rng, task.inputs, task.code))
