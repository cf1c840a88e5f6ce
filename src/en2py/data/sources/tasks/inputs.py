"""Draw arguments for tests, such that conditions hold for some elements and not for others."""

import re
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task

_WORDS: tuple[str, ...] = table("inputs")["words"]


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

    def numbers(least: int, most: int) -> list[int]:
        return [number(rng, code) for _ in range(rng.randint(least, most))]

    def mapping(least: int, most: int, words: tuple[str, ...] = _WORDS) -> dict[str, int]:
        return {name: number(rng, code) for name in rng.sample(words, rng.randint(least, most))}

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
            return numbers(4, 7)
        case "measures":
            return [abs(n) for n in numbers(4, 7)]
        case "few":
            return [rng.randint(1, 20) for _ in range(rng.randint(4, 7))]
        case "word":
            return rng.choice(_WORDS)
        case "words":
            return _words(rng, code, rng.randint(3, 6))
        case "text":
            return rng.choice([*table("inputs")["texts"], " ".join(_words(rng, code, 2))])
        case "sentence":
            words = " ".join(_words(rng, code, rng.randint(3, 6)))
            return rng.choice([*table("inputs")["sentences"], words])
        case "amounts":
            return mapping(3, 5)
        case "prices":
            return {name: abs(n) for name, n in mapping(3, 5).items()}
        case "small_dict":
            return mapping(2, 4, _WORDS[:8])
        case "rows":
            sizes = [rng.randint(1, 5) for _ in range(rng.randint(2, 4))]
            return [[number(rng, code) for _ in range(size)] for size in sizes]
        case "dict_of_lists":
            return {name: numbers(2, 4) for name in rng.sample(_WORDS, rng.randint(2, 3))}
        case "people" | "products":
            return [_record(rng, kind, code) for _ in range(rng.randint(2, 4))]
        case "nested":
            flat = [number(rng, code) for _ in range(5)]
            return [flat[0], flat[1:3], [flat[3], [flat[4]]]]
    return _OF_EXERCISES[kind](rng)


def _some(rng: Random, most: int = 6) -> list[int]:
    return [rng.randint(1, 9) for _ in range(rng.randint(min(4, most), most))]


# Kinds of arguments that only exercises have.
_OF_EXERCISES: dict[str, Callable[[Random], Any]] = {
    "positive": lambda rng: rng.randint(1, 40),
    "measure": lambda rng: rng.choice((rng.randint(1, 30), rng.randint(1, 60) / 2)),
    "special": lambda rng: rng.choice(table("inputs")["special"]),
    "index": lambda rng: rng.randint(0, 2),
    "year": lambda rng: rng.choice((1900, 2000, rng.randint(1900, 2100))),
    "three": lambda rng: _some(rng, 3),
    "tuple": lambda rng: tuple(_some(rng, 3)),
    "set": lambda rng: {n % 5 for n in _some(rng)[: rng.randint(1, 5)]},
    "square": lambda rng: [_some(rng, 2), _some(rng, 2)],
    "matrix": lambda rng: [_some(rng, 3) for _ in range(rng.randint(2, 3))],
    "numerals": lambda rng: [*map(str, _some(rng))],
    "bits": lambda rng: f"{rng.randint(1, 60):b}",
    "name": lambda rng: rng.choice(table("inputs")["names"]).capitalize(),
    "names": lambda rng: rng.sample(table("inputs")["names"], 3),
    "pairs": lambda rng: [*zip(rng.sample(_WORDS, 3), _some(rng, 3), strict=True)],
    "marked": lambda rng: rng.choice(table("inputs")["marked"]),
    "file": lambda rng: "\n".join(rng.sample(table("inputs")["sentences"], rng.randint(2, 4))),
    "date": lambda rng: (
        f"{rng.randint(1990, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    ),
}


def arguments(rng: Random, kinds: tuple[str, ...], code: str) -> str:
    """Draw the arguments of a call, as code."""
    return ", ".join(repr(draw_argument(rng, kind, code)) for kind in kinds)


def _words(rng: Random, code: str, size: int) -> list[str]:
    """Draw words, half of them with the letters in the program."""
    letters = re.findall(r"'([a-z])'", code)
    fits = [word for word in _WORDS if any(letter in word for letter in letters)]
    return [rng.choice(fits if fits and rng.random() < 0.5 else _WORDS) for _ in range(size)]


def _record(rng: Random, kind: str, code: str) -> dict[str, Any]:
    """Draw a person or a product."""
    if kind == "people":
        city = rng.choice(table("inputs")["cities"])
        name = rng.choice(table("inputs")["names"])
        return {"name": name, "age": abs(number(rng, code)), "city": city}
    stock = rng.choice((0, 1, 5, 8))
    name = rng.choice(table("inputs")["product_names"])
    return {"name": name, "price": abs(number(rng, code)), "stock": stock}


def draw_call(rng: Random, task: Task) -> str:
    """Draw an expression that uses the program of a task, for one test."""
    if callable(task.call):
        return task.call(rng)
    name = task.code.partition("(")[0].removeprefix("def ")
    template = task.call or f"{name}({{arguments}})"
    return template.replace("{arguments}", arguments(rng, task.inputs, task.code))
