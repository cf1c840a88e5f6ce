"""Inputs for functions: kinds of arguments by evidence, values from the pools."""

import ast
import itertools
import random
from dataclasses import dataclass

from en2py.evaluation.behaviour.argument_values import POOLS, constants, evidence
from en2py.evaluation.execution.entry_point import Function

N_PROBES = 4  # inputs on which a choice of kinds is tried
N_CANDIDATES = 90  # inputs tried once the kinds are chosen
_MAX_CHOICES = 44
_KINDS_EACH = {1: 99, 2: 9, 3: 5, 4: 4, 5: 3, 6: 3}  # kinds per parameter that are combined
_N_WORDS = {"n", "size", "length", "len"}
_LOW_WORDS = {"low", "left", "start", "l", "lo", "first", "beg", "begin"}
_HIGH_WORDS = {"high", "right", "hi", "end", "r", "h", "last"}


@dataclass(frozen=True)
class Kinds:
    """A kind for each argument, with the sum of their evidence."""

    kinds: tuple[str, ...]
    weight: float


def choices(function: Function, n: int) -> list[Kinds]:
    """Return combinations of kinds for the first `n` parameters, the likeliest first."""
    weights = [evidence(parameter, function.node) for parameter in function.parameters[:n]]
    ranked = [sorted(own, key=lambda kind: -own[kind])[: _KINDS_EACH[n]] for own in weights]
    combined = set(itertools.product(*ranked))
    combined |= {(kind,) * n for kind in POOLS}  # arguments of one kind are common
    found = [
        Kinds(
            kinds,
            sum(own[kind] for own, kind in zip(weights, kinds, strict=True))
            + 0.5 * (n > 1 and len(set(kinds)) == 1),
        )
        for kinds in combined
    ]
    found.sort(key=lambda choice: (-choice.weight, choice.kinds))
    return found[:_MAX_CHOICES]


def draw(function: Function, kinds: tuple[str, ...], n_inputs: int, program: ast.AST) -> list[str]:
    """Draw distinct inputs of the given kinds, as texts (`[1, 2], 3`); the same on every call.

    Parameters that are named as lengths or bounds get fitting values, the program's constants are
    added to the pools. Fewer than `n_inputs` are returned where the pool is smaller.
    """
    own = constants(program)
    pools = [[*dict.fromkeys([*own.get(kind, []), *POOLS[kind]])] for kind in kinds]
    if len(kinds) == 1:
        return pools[0][:n_inputs]
    chance = random.Random(f"{kinds}")
    names = [parameter.arg.lower() for parameter in function.parameters]
    found: dict[str, None] = {}
    for _ in range(6 * n_inputs):
        if len(found) >= n_inputs:
            break
        places = [_place(chance, len(pool)) for pool in pools]
        if chance.random() < 0.25:  # the same place in one pool: arguments of equal shape
            first = {
                kind: place for kind, place in zip(reversed(kinds), reversed(places), strict=True)
            }
            places = [first[kind] for kind in kinds]
        values = [pool[place] for pool, place in zip(pools, places, strict=True)]
        _relate(chance, names, kinds, values)
        found[", ".join(values)] = None
    return list(found)


def _place(chance: random.Random, size: int) -> int:
    """Draw a place; the first ones, which hold ordinary values, are a little more likely."""
    return min(int(size * chance.random() ** 1.3), size - 1)


def _value(text: str) -> object:
    try:
        value: object = ast.literal_eval(text)
    except ValueError:  # set() or a function
        return None
    return value


def _relate(
    chance: random.Random, names: list[str], kinds: tuple[str, ...], values: list[str]
) -> None:
    """Make numbers fit the sequence among the arguments: its length, a bound, one of its items."""
    sequence = next(
        (
            value
            for kind, value in zip(kinds, values, strict=True)
            if kind.startswith(("list", "text"))
        ),
        None,
    )
    if sequence is None:
        return
    items = ast.literal_eval(sequence)
    twins = [place for place, value in enumerate(values) if type(items) is type(_value(value))]
    if len(twins) > 1 and chance.random() < 0.2:  # a part of the other one: sublist, substring
        start = chance.randrange(len(items) + 1)
        values[twins[1]] = repr(items[start : start + chance.randrange(1, 4)])
    for place, (name, kind) in enumerate(zip(names, kinds, strict=False)):
        if kind not in ("int", "character") or chance.random() < 0.35 or not items:
            continue
        if kind == "character" or name not in _N_WORDS | _LOW_WORDS | _HIGH_WORDS:
            item = chance.choice(items)
            if isinstance(item, str) == (kind == "character"):
                values[place] = repr(item)
        elif name in _N_WORDS:
            values[place] = str(len(items))
        else:
            values[place] = "0" if name in _LOW_WORDS else str(len(items) - 1)
