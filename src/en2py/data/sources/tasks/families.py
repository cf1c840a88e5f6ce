"""All kinds of tasks, with how often each is drawn."""

from collections.abc import Callable
from random import Random

from en2py.data.sources.tasks.classes import CLASS_FAMILIES
from en2py.data.sources.tasks.dicts import DICT_FAMILIES
from en2py.data.sources.tasks.lists import LIST_FAMILIES
from en2py.data.sources.tasks.numbers import NUMBER_FAMILIES
from en2py.data.sources.tasks.streams import stream
from en2py.data.sources.tasks.strings import STRING_FAMILIES
from en2py.data.sources.tasks.task import Task

FAMILIES: tuple[tuple[Callable[[Random], Task | None], float], ...] = (
    (stream, 30.0),
    *LIST_FAMILIES,
    *NUMBER_FAMILIES,
    *STRING_FAMILIES,
    *DICT_FAMILIES,
    *CLASS_FAMILIES,
)
