"""Run jobs in the sandbox with a progress bar."""

from collections.abc import Iterable

from en2py.console import progress_bar
from en2py.sandbox import Job, Outcome, Sandbox


def run_jobs(sandbox: Sandbox, jobs: Iterable[Job]) -> list[Outcome]:
    """Run jobs, each distinct one in a fresh process, and return their outcomes in order."""
    wanted = list(jobs)
    distinct = list(dict.fromkeys(wanted))
    with progress_bar("running programs") as progress:
        outcomes = dict(zip(distinct, sandbox.run(distinct, progress.update), strict=True))
    return [outcomes[job] for job in wanted]
