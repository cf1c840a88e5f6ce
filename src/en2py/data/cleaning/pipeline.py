"""Run the steps over all pairs, in one or several processes, and count what each one does."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from en2py.data.pairs import DataReport, Pair

Step = Callable[[Pair], Pair]

CHUNK = 64  # pairs handed to a process at a time: half a second of autopep8
MIN_PER_PROCESS = 200  # fewer are done before another process has started


class Drop(Exception):
    """Raised by a step to remove the pair.

    Args:
        reason: Why, in words that many pairs share: the report counts them.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Outcome:
    """What became of one pair.

    Attributes:
        pair: The pair as the last step left it.
        changed: Steps that rewrote it.
        dropped_by: The step that dropped it; empty if none did.
        reason: Why.
    """

    pair: Pair
    changed: list[str] = field(default_factory=list)
    dropped_by: str = ""
    reason: str = ""


def clean(
    pairs: Sequence[Pair],
    steps: Mapping[str, Step | None],
    report: DataReport,
    *,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Pair]:
    """Pass pairs through named steps, in order.

    The result and the report do not depend on the number of processes.

    Args:
        pairs: What a source read.
        steps: Steps by name; None is a step switched off. For several processes they must be
            picklable: functions of a module, or `functools.partial` of one.
        report: Counts per step the pairs it read, changed and dropped.
        processes: How many processes work; few pairs are always done in this one.
        progress: Called now and then with the number of pairs done.

    Returns:
        The pairs that no step dropped, in the order they came.
    """
    active = {name: step for name, step in steps.items() if step is not None}
    for name in active:
        report.read(name, 0)  # a step that no pair reaches is listed all the same
    kept = []
    done = 0
    for outcomes in _outcomes(pairs, active, processes):
        for outcome in outcomes:
            if _count(outcome, active, report):
                kept.append(outcome.pair)
        done += len(outcomes)
        if progress is not None:
            progress(done)
    return kept


def _count(outcome: Outcome, steps: Mapping[str, Step], report: DataReport) -> bool:
    """Enter one pair's fate into the report and tell whether it stays."""
    for name in steps:
        report.read(name)
        if name == outcome.dropped_by:
            report.dropped(name, outcome.pair.id, outcome.reason)
            return False
        if name in outcome.changed:
            report.changed(name)
    return True


def _outcomes(
    pairs: Sequence[Pair], steps: Mapping[str, Step], processes: int
) -> Iterator[list[Outcome]]:
    """Yield chunks of outcomes in the order of the pairs."""
    work = partial(_pass_through, steps)
    chunks = [pairs[i : i + CHUNK] for i in range(0, len(pairs), CHUNK)]
    done = 0
    if (n := min(processes, len(pairs) // MIN_PER_PROCESS)) > 1:
        # Spawned, since a fork of a process that runs threads (torch, W&B) may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n, mp_context=context) as executor:
            try:
                for outcomes in executor.map(work, chunks):
                    done += 1
                    yield outcomes
            except BrokenProcessPool:
                pass  # a program read from stdin cannot be spawned; the rest is done here
            finally:
                executor.shutdown(cancel_futures=True)
    yield from map(work, islice(chunks, done, None))


def _pass_through(steps: Mapping[str, Step], pairs: Sequence[Pair]) -> list[Outcome]:
    return [_one(steps, pair) for pair in pairs]


def _one(steps: Mapping[str, Step], pair: Pair) -> Outcome:
    outcome = Outcome(pair)
    for name, step in steps.items():
        try:
            pair = step(outcome.pair)
        except Drop as drop:
            outcome.dropped_by, outcome.reason = name, drop.reason
            break
        if pair != outcome.pair:
            outcome.changed.append(name)
            outcome.pair = pair
    return outcome
