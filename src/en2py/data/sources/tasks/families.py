"""All kinds of tasks, with how often each is drawn."""

from collections.abc import Callable
from random import Random

from en2py.data.sources.tasks.streams import stream
from en2py.data.sources.tasks.task import Task

FAMILIES: tuple[tuple[Callable[[Random], Task | None], float], ...] = ((stream, 1.0),)
