"""Run jobs in the sandbox with a progress bar."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from en2py.console import progress_bar
from en2py.sandbox import Job, Outcome, Sandbox

T = TypeVar("T")


def run_jobs(sandbox: Sandbox, jobs: Iterable[Job]) -> list[Outcome]:
    """Run jobs, each distinct one in a fresh process, and return their outcomes in order.

    If they are an iterator, the first ones run while it prepares the others.
    """
    wanted: list[Job] = []
    distinct: dict[Job, None] = {}

    def first_of_each() -> Iterator[Job]:
        for job in jobs:
            wanted.append(job)
            if job not in distinct:
                distinct[job] = None
                yield job

    with progress_bar("running programs") as progress:
        finished = sandbox.run(first_of_each(), lambda n: progress.update(n, len(distinct)))
    outcomes = dict(zip(distinct, finished, strict=True))
    return [outcomes[job] for job in wanted]


def run_prepared(
    sandbox: Sandbox, prepared: Iterable[tuple[Job | None, T]]
) -> Iterator[tuple[Outcome | None, T]]:
    """Run the jobs among items of a job and what its outcome is compared with, as `run_jobs` does.

    Yields:
        The outcome in place of each job; None where there is no job.
    """
    items: list[tuple[Job | None, T]] = []

    def jobs() -> Iterator[Job]:
        for item in prepared:
            items.append(item)
            if item[0] is not None:
                yield item[0]

    outcomes = iter(run_jobs(sandbox, jobs()))
    yield from ((None if job is None else next(outcomes), rest) for job, rest in items)
