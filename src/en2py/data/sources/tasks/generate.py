"""Draw tasks, run their programs, and generate their descriptions."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from random import Random

from pydantic import PositiveInt

from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import Failed, ProcessPool
from en2py.data.sources.tasks.english import sentence
from en2py.data.sources.tasks.inputs import draw_call
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, normal_form
from en2py.errors import UserError
from en2py.ranges import Seed

CHUNK = 1000  # pairs drawn by one process at once
SECONDS_PER_CHUNK = 600.0  # a chunk takes one second; an endless program would be a bug
N_TESTS = 3
N_TRIES = 25  # of arguments for one program
ENOUGH = 6  # calls after which two different results suffice
MAX_RESULT_LENGTH = 120  # characters
EMPTY = ("[]", "None", "''", "{}")
MAX_PAIRS = 20_000  # with more pairs, many would repeat


def read_tasks(report: DataReport, *, n_pairs: PositiveInt, seed: Seed) -> list[Pair]:
    """Generate described programming tasks; needs no file.

    Args:
        report: Receives counts and facts.
        n_pairs: Number of pairs.
        seed: The same seed generates the same pairs.

    Raises:
        UserError: If `n_pairs` is not between 1 and 20,000.
    """
    if not 1 <= n_pairs <= MAX_PAIRS:
        raise UserError(f"data.source.n_pairs is {n_pairs}; choose 1 to {MAX_PAIRS}")
    programs: dict[str, str] = {}  # description -> program
    pairs: list[Pair] = []
    for drawn in _chunks(n_pairs, seed):
        for pair in drawn:
            key = pair.description.lower().rstrip(".")
            assert programs.get(key, pair.code) == pair.code, f"two programs for: {key}"
            if len(pairs) < n_pairs and key not in programs:
                programs[key] = pair.code
                pairs.append(replace(pair, id=f"tasks/{len(pairs):05d}"))
        if len(pairs) == n_pairs:
            break
    report.read("tasks", len(pairs))
    report.facts["tasks"] = {
        "families": len({pair.family for pair in pairs}),
        "combinations": len({pair.combination for pair in pairs}),
        "programs": len({pair.code for pair in pairs}),
    }
    return pairs


def _chunks(n_pairs: int, seed: int) -> Iterator[list[Pair]]:
    """Yield chunks without end; a chunk depends on the seed and its number alone."""
    seeds = (f"{seed}/{number}" for number in itertools.count())
    likely = [next(seeds) for _ in range(math.ceil(1.03 * n_pairs / CHUNK))]
    with ProcessPool(None, SECONDS_PER_CHUNK) as pool:
        for drawn in pool.map(draw_pairs, likely, least=1, chunk=1):
            if isinstance(drawn, Failed):
                raise RuntimeError(f"drawing {CHUNK} tasks: {drawn.reason}")
            yield drawn
    yield from map(draw_pairs, seeds)  # if there were more repetitions than expected


def draw_pairs(seed: str) -> list[Pair]:
    """Draw a chunk of pairs, which may contain repetitions."""
    rng = Random(seed)
    families, weights = _families()
    pairs: list[Pair] = []
    while len(pairs) < CHUNK:
        family, task = rng.choices(families, weights)[0], None
        while task is None:  # parts do not fit: the same family again, to keep weights
            task = family(rng)
        code = normal_form(task.code)
        tests = draw_tests(rng, task, code)
        if tests:
            pairs.append(
                Pair(
                    id="",
                    description=sentence(rng, task),
                    code=code,
                    source="tasks",
                    tests=tests,
                    family=task.family,
                    combination="|".join(task.parts),
                )
            )
    return pairs


@cache
def _families() -> tuple[list[Callable[[Random], Task | None]], list[float]]:
    """Return the functions that draw a task, and their weights."""
    rows = [(name, *row) for name, own in table("families").items() for row in own.items()]
    package = __name__.rpartition(".")[0]
    functions = [getattr(import_module(f"{package}.{name}"), family) for name, family, _ in rows]
    return functions, [weight for *_, weight in rows]


def draw_tests(rng: Random, task: Task, code: str) -> tuple[str, ...]:
    """Draw tests of a program: its own results for drawn arguments.

    Returns:
        Three `assert` statements, preferably with different results; none if the program always
        returns the same or mostly raises an error.
    """
    scope: dict[str, object] = {}
    exec(compile(code, "<task>", "exec", dont_inherit=True), scope)  # our own program
    found: dict[str, str] = {}
    for _ in range(N_TRIES):
        call = draw_call(rng, task)
        try:
            result = repr(eval(call, scope))
        except (ValueError, IndexError, ZeroDivisionError, TypeError, KeyError):
            continue  # for example the largest element of an empty list
        if len(result) < MAX_RESULT_LENGTH:
            found.setdefault(call, result)
        n_results = len(set(found.values()))
        if len(found) >= N_TESTS and n_results >= (N_TESTS if len(found) < ENOUGH else 2):
            break
    else:
        return ()
    seen: set[str] = set()
    order: list[tuple[bool, bool, int, str, str]] = []
    for call, result in found.items():  # new results before known ones, empty ones last
        order.append((result in seen, result in EMPTY, len(order), call, result))
        seen.add(result)
    return tuple(f"assert {call} == {result}" for *_, call, result in sorted(order)[:N_TESTS])
