"""Serialization of Python values from untrusted code, and their comparison.

A value becomes JSON: `null`, booleans, strings and exact numbers as they are, everything else as
`[tag, content]`. Only built-in types and a few of the standard library are serialized, by reading
their storage: no method of another class is called, so a class cannot misreport its value (a
`Fraction` whose private fields a program replaces reports what they are, and so does a member of an
`IntEnum` or a list of a class of its own). Any other value is `["opaque", type name]`, which equals
nothing.

Standard library only, and no import from the package: `encode` runs in the sandbox's workers.
"""

import cmath
import collections
import datetime
import decimal
import fractions
import itertools
import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

Value = Any  # JSON, as described above

MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 60
MAX_ITEMS: Final = 1_000  # of an iterator, which may be infinite
MAX_EXACT: Final = 1_000  # fractions and decimals, of which forged ones may have equal hashes
_NODES_OF_EXACT: Final = MAX_NODES // MAX_EXACT
MAX_CHARACTERS: Final = 2_000  # of an exact fraction, whose arithmetic takes quadratic time
_EXACT_INT: Final = 1 << 53
_REL, _ABS = 5e-10, 1e-12  # nine significant digits; 1e-12 is a rounding error of zero

_SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple", collections.deque: "deque"}
_ITERATORS: Final[tuple[type, ...]] = (
    *(range, map, filter, zip, enumerate, reversed, type(_ for _ in ())),
    *(type({}.keys()), type({}.values()), type({}.items())),
    *(type(iter([])), type(iter(())), type(iter("")), type(iter(range(0))), type(reversed([]))),
    *(itertools.permutations, itertools.combinations, itertools.product, itertools.chain),
)
_BY_REPR: Final = (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)


class _TooLarge(Exception):
    """A value has more than `MAX_NODES` nodes."""


def encode(value: object) -> Value:
    """Serialize a value; raises only exceptions of iterators in it."""
    budget = iter(range(MAX_NODES))
    try:
        return _encode(value, budget, 0)
    except _TooLarge:
        return ["opaque", "too large"]
    except RecursionError:
        return ["opaque", "too deep"]


def _encode(value: Any, budget: Iterator[int], depth: int) -> Value:
    if next(budget, None) is None:
        raise _TooLarge
    if depth > MAX_DEPTH:
        raise RecursionError
    kind = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        number = int.__int__(value)
        return number if -_EXACT_INT < number < _EXACT_INT else ["int", hex(number)]
    if issubclass(kind, float):
        return ["float", repr(float.__float__(value))]
    if kind is complex:
        return ["complex", [repr(value.real), repr(value.imag)]]
    if kind is bytes or kind is bytearray:
        return ["bytes", value.hex()]
    if kind is decimal.Decimal:
        return _exact(budget, "Decimal", str(value))
    if kind is fractions.Fraction:
        return _exact(budget, "Fraction", f"{value.numerator:x}/{value.denominator:x}")

    def inner(item: object) -> Value:
        return _encode(item, budget, depth + 1)

    for plain, tag in _SEQUENCES.items():
        if issubclass(kind, plain):
            return [tag, [inner(item) for item in plain.__iter__(value)]]  # type: ignore[attr-defined]
    for plain in (set, frozenset):
        if issubclass(kind, plain):
            written = [inner(item) for item in plain.__iter__(value)]
            return [plain.__name__, sorted(written, key=_text)]
    if issubclass(kind, dict):
        stored = dict.items(value)
        return ["dict", [[inner(key), inner(item)] for key, item in stored]]
    if _is_one_of(kind, _ITERATORS):
        items = list(itertools.islice(iter(value), MAX_ITEMS + 1))
        if len(items) > MAX_ITEMS:
            return ["opaque", f"{kind.__name__} of more than {MAX_ITEMS} items"]
        return ["iterator", [inner(item) for item in items]]
    if _is_one_of(kind, _BY_REPR):
        return ["repr", repr(value)]
    return ["opaque", str(type.__getattribute__(kind, "__name__"))[:80]]


def _exact(budget: Iterator[int], tag: str, text: str) -> Value:
    if len(list(itertools.islice(budget, _NODES_OF_EXACT - 1))) < _NODES_OF_EXACT - 1:
        raise _TooLarge
    return [tag, text] if len(text) <= MAX_CHARACTERS else ["opaque", tag]


def _is_one_of(kind: type, kinds: tuple[type, ...]) -> bool:
    """Compare by identity: `in` would call `__eq__` of untrusted metaclasses."""
    return any(kind is one for one in kinds)


def _text(value: Value) -> str:
    return json.dumps(value, sort_keys=True)


def _fraction(text: str) -> fractions.Fraction:
    numerator, denominator = text.split("/")
    return fractions.Fraction(int(numerator, 16), int(denominator, 16))


_EXACT: dict[str, Callable[[str], object]] = {"Decimal": decimal.Decimal, "Fraction": _fraction}
_SCALARS: dict[str, Callable[[Any], object]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "bytes": bytes.fromhex,
}
_CONTAINERS: dict[str, Callable[[list[Any]], object]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}


class Opaque:
    """A value without its content; equal to nothing, not even itself. An iterator has its items."""

    def __init__(self, kind: str, content: str, items: list[Any] | None = None) -> None:
        self.kind, self.content, self.items = kind, content, items

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return hash(self.kind)

    def __bool__(self) -> bool:
        raise TypeError(f"{self.kind} has no content")

    def __contains__(self, item: object) -> bool:
        if self.items is None:
            raise TypeError(f"{self.kind} has no content")
        return item in self.items

    def __repr__(self) -> str:
        return self.content or f"<{self.kind}>"


def decode(value: Value) -> Any:
    """Restore a built-in value.

    Raises:
        ValueError: If the untrusted data have another form than `encode` returns.
    """
    try:
        return _decode(value, 0, iter(range(MAX_EXACT)))
    except (TypeError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not a serialized value: {str(value)[:80]}") from error


def _decode(value: Value, depth: int, exact: Iterator[int]) -> Any:
    if value is None or isinstance(value, bool | str | int):
        return value
    if depth > MAX_DEPTH + 2 or not (isinstance(value, list) and len(value) == 2):
        raise ValueError(f"not a serialized value: {str(value)[:80]}")
    tag, content = value

    def inner(item: Value) -> Any:
        return _decode(item, depth + 1, exact)

    if tag in _SCALARS:
        return _SCALARS[tag](content)
    if tag in _EXACT and isinstance(content, str) and len(content) <= MAX_CHARACTERS:
        if next(exact, None) is None:
            raise ValueError(f"more than {MAX_EXACT} exact fractions")
        return _EXACT[tag](content)
    if tag in _CONTAINERS:
        return _CONTAINERS[tag]([inner(item) for item in content])
    if tag == "dict":
        return {inner(key): inner(item) for key, item in content}
    if tag == "iterator":
        items = [inner(item) for item in content]
        return Opaque("iterator", f"iter({items!r})", items)
    if tag in ("opaque", "repr"):
        return Opaque(str(content)[:80], str(content)[:200] if tag == "repr" else "")
    raise ValueError(f"unknown tag {tag!r}")


def as_text(value: Value) -> str:
    """Return a value as text for a report, truncated to 300 characters."""
    try:
        return repr(decode(value))[:300]
    except ValueError:
        return "a number of thousands of digits"


def is_comparable(value: Value) -> bool:
    """Return whether a value has its whole content, so that it can be compared."""
    if not isinstance(value, list):
        return True
    tag, content = value
    if tag == "opaque":
        return False
    if tag == "dict":
        return all(is_comparable(part) for item in content for part in item)
    if tag == "iterator" or tag in _CONTAINERS:
        return all(is_comparable(item) for item in content)
    return True


def same(one: Value, other: Value) -> bool:
    """Compare two serialized values as Python does, floats to nine significant digits.

    `1 == 1.0` and `True == 1` hold; a list is not a tuple; an opaque value equals nothing.
    """
    if one == other:
        return is_comparable(one)
    number, twin = _number(one), _number(other)
    if number is not None and twin is not None:
        return _close(number, twin)
    if not (isinstance(one, list) and isinstance(other, list)):
        return False
    (tag, content), (other_tag, other_content) = one, other
    if tag != other_tag and {tag, other_tag} != {"set", "frozenset"}:
        return False
    if tag not in ("dict", "iterator", *_CONTAINERS) or len(content) != len(other_content):
        return False
    return all(map(same, _in_order(tag, content), _in_order(tag, other_content)))


def _in_order(tag: str, content: list[Any]) -> list[Value]:
    """Return the items of a container, and of a dict keys and values in turn, to compare them."""
    if tag == "dict":
        ordered = sorted(content, key=lambda pair: _key(pair[0]))
        return [part for pair in ordered for part in pair]
    return sorted(content, key=_key) if tag in ("set", "frozenset") else content


def _number(value: Value) -> Any:
    """Return a number: int, float, complex, Decimal or Fraction; None for any other value."""
    if isinstance(value, int):
        return int(value)
    is_number = isinstance(value, list) and value[0] in ("int", "float", "complex", *_EXACT)
    return decode(value) if is_number else None


def _close(one: Any, other: Any) -> bool:
    """Compare two numbers: exactly, floats to nine significant digits."""
    try:
        if isinstance(one, complex) or isinstance(other, complex):
            one, other = complex(one), complex(other)
            return _close(one.real, other.real) and _close(one.imag, other.imag)
        if not (isinstance(one, float) or isinstance(other, float)):
            return bool(one == other)
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=_REL, abs_tol=_ABS)
    except (ArithmeticError, ValueError):  # beyond the range of floats, or a signaling NaN
        return False


def _key(value: Value) -> tuple[Any, ...]:
    """Return a sort key by which items that `same` compares as equal are at the same place.

    Rounded numbers come first: in pairs that begin with equal numbers, an error of rounding must
    not decide before the second item does.
    """
    return _order(value, _rounded), _order(value, float), _text(value)


def _order(value: Value, convert: Callable[[float], float]) -> tuple[Any, ...]:
    """Return a sort key: numbers by value (1, True and 1.0 are equal), containers by items."""
    if (number := _number(value)) is not None:
        with suppress(OverflowError, ValueError):  # beyond floats, or a signaling NaN
            if not cmath.isnan(number := complex(number)):
                return 0, convert(number.real), convert(number.imag)
    if isinstance(value, list) and value[0] in _CONTAINERS:
        items = [_order(item, convert) for item in value[1]]
        return (1, sorted(items)) if value[0] in ("set", "frozenset") else (3, items)
    return 2, _text(value)


def _rounded(number: float) -> float:
    return round(float(f"{number:.9g}"), 12)
