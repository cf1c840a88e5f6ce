"""Apply the cleaning steps to all pairs, in one or several processes, and count what they do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import CHUNK, MIN_PER_PROCESS, SECONDS_PER_ITEM, Failed, ProcessPool

Step = Callable[[Pair], Pair]

LARGE = 10_000  # characters of a pair that might crash its process, so not the main process
TIME_LIMIT = "seconds_per_pair"  # the rule that drops failed pairs, named like the option


class Drop(Exception):
    """Raised by a step to remove the pair.

    Args:
        reason: Why, without details of the pair: the report counts equal reasons.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Outcome:
    """The result of the steps on one pair.

    Attributes:
        pair: The pair as the last step left it.
        changed: Steps that rewrote it, but for those that changed a final newline alone.
        dropped_by: The step that dropped it; empty if none did.
        reason: Why.
    """

    pair: Pair
    changed: list[str] = field(default_factory=list)
    dropped_by: str = ""
    reason: str = ""


def clean(
    pairs: Sequence[Pair],
    steps: Mapping[str, Step],
    report: DataReport,
    *,
    pool: ProcessPool | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Pair]:
    """Apply named steps to pairs, in order.

    The result and the report do not depend on the number of processes.

    Args:
        pairs: What a source read.
        steps: Steps by name. For several processes they must be picklable: functions of a module,
            or `functools.partial` of one.
        report: Counts per step the pairs it read, changed and dropped, and the pairs that took too
            long.
        pool: The processes; None for this process alone.
        progress: Called with the number of cleaned pairs, every `CHUNK` pairs.

    Returns:
        The pairs that no step dropped, in their order.
    """
    for name in steps:
        report.read(name, 0)  # also list a step that no pair reaches
    pool = pool or ProcessPool(1, SECONDS_PER_ITEM)
    _, outcomes = apply(partial(_apply, steps), pairs, report, pool, progress=progress)
    return [outcome.pair for outcome in outcomes if _count(outcome, steps, report)]


def apply(
    function: Callable[[Pair], Any],
    pairs: Sequence[Pair],
    report: DataReport,
    pool: ProcessPool,
    least: int = MIN_PER_PROCESS,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Pair], list[Any]]:
    """Apply a function to pairs; return the pairs and results without those that took too long."""
    isolated = any(len(pair.description) + len(pair.code) > LARGE for pair in pairs)
    results, failed = list[tuple[Pair, Any]](), dict[str, str]()
    found = pool.map(function, pairs, least=least, isolated=isolated)
    for done, (pair, result) in enumerate(zip(pairs, found, strict=True), start=1):
        if isinstance(result, Failed):
            failed[pair.id] = result.reason
        else:
            results.append((pair, result))
        if progress is not None and (done % CHUNK == 0 or done == len(pairs)):
            progress(done)
    if failed:
        report.read(TIME_LIMIT, len(pairs))
    for pair_id, reason in failed.items():
        report.dropped(TIME_LIMIT, pair_id, reason)
    return [pair for pair, _ in results], [result for _, result in results]


def _count(outcome: Outcome, steps: Mapping[str, Step], report: DataReport) -> bool:
    """Count one pair in the report and return whether it is kept."""
    for name in steps:
        report.read(name)
        if name == outcome.dropped_by:
            report.dropped(name, outcome.pair.id, outcome.reason)
            return False
        if name in outcome.changed:
            report.changed(name)
    return True


def _apply(steps: Mapping[str, Step], pair: Pair) -> Outcome:
    outcome = Outcome(pair)
    for name, step in steps.items():
        try:
            pair = step(outcome.pair)
        except Drop as drop:
            outcome.dropped_by, outcome.reason = name, drop.reason
            break
        if pair != outcome.pair:
            if _without_final_newline(pair) != _without_final_newline(outcome.pair):
                outcome.changed.append(name)
            outcome.pair = pair
    return outcome


def _without_final_newline(pair: Pair) -> Pair:
    return replace(pair, code=pair.code.removesuffix("\n"))
