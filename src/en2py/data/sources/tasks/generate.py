"""Draw tasks, run their programs, and generate their descriptions."""

import contextlib
import io
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field

from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import Failed, ProcessPool
from en2py.data.sources.tasks.english import sentence
from en2py.data.sources.tasks.families import draw_task
from en2py.data.sources.tasks.inputs import draw_call
from en2py.data.sources.tasks.task import Task, normal_form
from en2py.ranges import Seed

CHUNK = 1000  # pairs drawn by one process at once
SECONDS_PER_CHUNK = 600.0  # a chunk takes one second; an endless program would be a bug
N_TESTS = 3
N_TRIES = 25  # of arguments for one program
ENOUGH = 6  # calls after which two different results suffice
MAX_RESULT_LENGTH = 120  # characters
MAX_PRINTED = 400
ERRORS = (ValueError, IndexError, ZeroDivisionError, TypeError, KeyError)
EMPTY = ("[]", "None", "''", "{}")
MAX_PAIRS = 20_000  # with more pairs, many would repeat


def read_tasks(
    report: DataReport,
    *,
    n_pairs: Annotated[int, Field(ge=1, le=MAX_PAIRS)],
    seed: Seed,
    families: Literal["default", "all"] = "default",
) -> list[Pair]:
    """Generate described programming tasks; needs no file.

    Args:
        report: Receives counts and facts.
        n_pairs: Number of pairs.
        seed: The same seed generates the same pairs.
        families: `default`, or `all`: also exercises, scripts and functions that print.
    """
    programs: dict[str, str] = {}  # description -> program
    pairs: list[Pair] = []
    for drawn in _chunks(n_pairs, seed, families):
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


def _chunks(n_pairs: int, seed: int, families: str) -> Iterator[list[Pair]]:
    """Yield chunks without end; a chunk depends on the seed and its number alone."""
    seeds = (f"{seed}/{number}" for number in itertools.count())
    draw = partial(draw_pairs, families=families)
    likely = [next(seeds) for _ in range(math.ceil(1.03 * n_pairs / CHUNK))]
    with ProcessPool(None, SECONDS_PER_CHUNK) as pool:
        for drawn in pool.map(draw, likely, least=1, chunk=1):
            if isinstance(drawn, Failed):
                raise RuntimeError(f"drawing {CHUNK} tasks: {drawn.reason}")
            yield drawn
    yield from map(draw, seeds)  # if there were more repetitions than expected


def draw_pairs(seed: str, families: str = "default") -> list[Pair]:
    """Draw a chunk of pairs, which may contain repetitions."""
    rng = Random(seed)
    pairs: list[Pair] = []
    while len(pairs) < CHUNK:
        task = draw_task(rng, families)
        code = normal_form(task.code)
        tests = () if task.printed else draw_tests(rng, task, code)
        if tests or (task.printed and prints(rng, task, code)):
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


def prints(rng: Random, task: Task, code: str) -> bool:
    """Return whether a program prints something; a function: different texts for arguments."""
    scope = new_scope()
    try:
        printed = {executed(code, scope)}
        if task.form == "prints":
            printed = {executed(draw_call(rng, task), scope) for _ in range(2 * N_TESTS)}
    except ERRORS:
        return False
    return len(printed) > (task.form == "prints") and 0 < max(map(len, printed)) < MAX_PRINTED


def new_scope() -> dict[str, Any]:
    """Return the names of a program of ours: its files are in memory."""
    return {"open": partial(MemoryFile, {})}


def executed(code: str, scope: dict[str, Any]) -> str:
    """Execute a program of ours; return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "<task>", "exec", dont_inherit=True), scope)
    return printed.getvalue().strip()


class MemoryFile(io.StringIO):
    """A file of a program of ours, of which every write is stored in `files` at once."""

    def __init__(self, files: dict[str, str], path: str, mode: str = "r") -> None:
        super().__init__("" if mode == "w" else files[path])
        self.files, self.path = files, path
        self.seek(0, io.SEEK_END if mode == "a" else io.SEEK_SET)

    def write(self, text: str) -> int:
        """Write and store a text."""
        n = super().write(text)
        self.files[self.path] = self.getvalue()
        return n


def draw_tests(rng: Random, task: Task, code: str) -> tuple[str, ...]:
    """Draw tests of a program: its own results for drawn arguments.

    Returns:
        Three `assert` statements, preferably with different results; none if the program always
        returns the same or mostly raises an error.
    """
    scope = new_scope()
    try:
        executed(code, scope)
    except ERRORS:  # of a call of its own
        return ()
    found: dict[str, str] = {}
    for _ in range(N_TRIES):
        call = draw_call(rng, task)
        try:
            result = repr(eval(call, scope))
        except ERRORS:
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
