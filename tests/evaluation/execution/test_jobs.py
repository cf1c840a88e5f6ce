"""Which jobs reach the sandbox, and with which limits."""

from collections.abc import Iterable

import pytest

from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.oracle import Answer, Oracle
from en2py.evaluation.execution.jobs import run_jobs, run_prepared
from en2py.sandbox import Job, Outcome
from en2py.sandbox.protocol import failed_outcome
from en2py.sandbox.serialization import encode


class Recorded:
    """A sandbox that runs nothing and records the jobs; an outcome names its program."""

    def __init__(self, timeout_s: float = 5.0) -> None:
        self.timeout_s, self.jobs = timeout_s, []

    def run(self, jobs: Iterable[Job], progress: object) -> list[Outcome]:
        self.jobs += jobs
        return [failed_outcome(job, job.code) for job in self.jobs]


def test_equal_jobs_run_once_and_all_have_outcomes():
    sandbox = Recorded()
    outcomes = run_jobs(sandbox, [Job("a"), Job("b"), Job("a"), Job("a", stdin="1")])
    assert [job.code for job in sandbox.jobs] == ["a", "b", "a"]
    assert [outcome.load.killed for outcome in outcomes] == ["a", "b", "a", "a"]


@pytest.mark.parametrize(("allowed", "limit"), [(5.0, 2.0), (1.0, 1.0)])
def test_a_script_has_two_seconds_unless_the_sandbox_allows_less(allowed, limit):
    sandbox = Recorded(allowed)
    oracle = Oracle("script", ("",), (Answer(encode(None), (), "1"),), 0)
    behaves_like(["while True: pass"], [oracle], sandbox)
    assert [job.timeout_s for job in sandbox.jobs] == [limit]


def test_items_without_a_job_keep_their_place():
    prepared = iter([(Job("a"), 1), (None, 2), (Job("b"), 3), (Job("a"), 4)])
    found = [
        (outcome and outcome.load.killed, rest)
        for outcome, rest in run_prepared(Recorded(), prepared)
    ]
    assert found == [("a", 1), (None, 2), ("b", 3), ("a", 4)]
