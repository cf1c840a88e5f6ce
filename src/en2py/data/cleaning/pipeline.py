"""Run the steps over all pairs, in one or several processes, and count what each one does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import CHUNK, SECONDS, Lost, Workers

Step = Callable[[Pair], Pair]

LARGE = 10_000  # characters of a pair; larger ones are not cleaned in the main process
TIME_LIMIT = "seconds_per_pair"  # the rule that drops what was given up, by the option's name


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
    workers: Workers | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Pair]:
    """Pass pairs through named steps, in order.

    The result and the report do not depend on the number of processes.

    Args:
        pairs: What a source read.
        steps: Steps by name; None is a step switched off. For several processes they must be
            picklable: functions of a module, or `functools.partial` of one.
        report: Counts per step the pairs it read, changed and dropped, and those given up because
            they took too long.
        workers: Who does it; None does it here.
        progress: Called now and then with the number of pairs done.

    Returns:
        The pairs that no step dropped, in the order they came.
    """
    active = {name: step for name, step in steps.items() if step is not None}
    for name in active:
        report.read(name, 0)  # a step that no pair reaches is listed all the same
    work = partial(_pass_through, active)
    outcomes = (workers or Workers(1, SECONDS)).map(work, pairs, apart=any(map(is_large, pairs)))
    kept, lost = [], dict[str, str]()
    for done, (pair, outcome) in enumerate(zip(pairs, outcomes, strict=True), start=1):
        if isinstance(outcome, Lost):
            lost[pair.id] = outcome.reason
        elif _count(outcome, active, report):
            kept.append(outcome.pair)
        if progress is not None and (done % CHUNK == 0 or done == len(pairs)):
            progress(done)
    count_lost(lost, len(pairs), report)
    return kept


def is_large(pair: Pair) -> bool:
    """Tell whether a pair is so long that it might crash the process that looks at it."""
    return len(pair.description) + len(pair.code) > LARGE


def count_lost(lost: Mapping[str, str], n: int, report: DataReport) -> None:
    """Enter into the report which of `n` pairs were given up, and why; nothing where none was."""
    if lost:
        report.read(TIME_LIMIT, n)
    for pair_id, reason in lost.items():
        report.dropped(TIME_LIMIT, pair_id, reason)


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


def _pass_through(steps: Mapping[str, Step], pair: Pair) -> Outcome:
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
