"""All kinds of tasks with their weights."""

from collections.abc import Callable
from random import Random

from en2py.data.sources.tasks import (
    arrangements,
    classes,
    dicts,
    lists,
    numbers,
    questions,
    searches,
    streams,
    strings,
)
from en2py.data.sources.tasks.task import Task

FAMILIES: tuple[tuple[Callable[[Random], Task | None], float], ...] = (
    (streams.stream, 40.0),
    (questions.question, 3.0),
    (questions.comparison, 2.5),
    (questions.two_totals, 2.5),
    (lists.position, 2.0),
    (lists.partition, 2.0),
    (lists.replacement, 2.5),
    (lists.until, 2.0),
    (lists.nested, 1.5),
    (arrangements.dictionary, 1.5),
    (arrangements.grouping, 2.0),
    (arrangements.order, 2.5),
    (arrangements.running, 1.0),
    (numbers.arithmetic, 3.0),
    (numbers.checks, 2.5),
    (numbers.label, 2.5),
    (numbers.chain, 3.0),
    (numbers.guarded, 2.0),
    (numbers.parsed, 1.0),
    (searches.next_number, 1.5),
    (searches.first_numbers, 1.5),
    (searches.repetition, 1.5),
    (searches.sequence, 2.0),
    (strings.text_steps, 6.0),
    (strings.text_pair, 2.0),
    (strings.text_checks, 2.0),
    (strings.masked, 3.0),
    (dicts.transform, 4.0),
    (dicts.names, 2.0),
    (dicts.dict_order, 2.0),
    (dicts.merge, 1.5),
    (dicts.zipped, 1.0),
    (dicts.lists_in_dict, 1.5),
    (classes.container, 2.0),
    (classes.record, 2.0),
    (classes.filtered_class, 1.5),
)
