"""The kinds of tasks: functions that draw a task, and their weights."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from random import Random

from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task

FAMILIES = {"default": ("families",), "all": ("families", "more_families")}  # tables by setting
Family = Callable[[Random], Task | None]


@cache
def families(which: str) -> tuple[list[Family], list[float]]:
    """Return the functions that draw a task, and their weights."""
    tables = [table(name) for name in FAMILIES[which]]
    rows = [
        (name, *row)
        for sections in tables
        for name, part in sections.items()
        for row in part.items()
    ]
    package = __name__.rpartition(".")[0]
    functions = [getattr(import_module(f"{package}.{name}"), family) for name, family, _ in rows]
    return functions, [weight for *_, weight in rows]


def draw_task(rng: Random, which: str) -> Task:
    """Draw a family and a task of it."""
    functions, weights = families(which)
    family, task = rng.choices(functions, weights)[0], None
    while task is None:  # parts do not fit: the same family again, to keep weights
        task = family(rng)
    return task
