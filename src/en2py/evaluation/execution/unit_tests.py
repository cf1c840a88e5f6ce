"""Functional correctness by tests: does the program do what the `assert` statements say?

Each test is cut in two: the call goes into the sandbox, what it should give stays here, and they
are compared here. So a program cannot read its expected values nor decide its own verdict. The
guarantee is full for `assert <expression> == <constant>` (and `!=`, `<`, `is`, `in`,
`math.isclose`, a bound on `abs(expression - constant)`), the shapes of `tasks` and MBPP. Any other
assert is evaluated inside as a whole, so the program could read what it is compared with;
`Verdict.n_inside` counts those.
"""

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass

from en2py.data.pairs import Pair
from en2py.data.syntax import parse
from en2py.evaluation.execution.asserts import Check, split_test
from en2py.evaluation.execution.entry_point import entry_function, functions
from en2py.sandbox import Job, Outcome, Result, Sandbox
from en2py.sandbox.serialization import decode, tell


@dataclass(frozen=True)
class Verdict:
    """How a program did on its pair's tests.

    Attributes:
        passed: Whether all tests hold.
        n_passed: How many hold.
        n_tests: Of how many.
        n_inside: How many were evaluated inside as a whole.
        problem: Why it failed, in a few words for counting; empty if it passed.
        failing: The first test that failed and what came instead, for a person.
    """

    passed: bool
    n_passed: int
    n_tests: int
    n_inside: int
    problem: str
    failing: str


def passes_tests(
    predictions: Sequence[str], pairs: Sequence[Pair], sandbox: Sandbox
) -> list[Verdict]:
    """Run each prediction against the tests of its pair.

    The function may be named otherwise than in the reference: where the program lacks a name that
    the tests call and the reference defines, its own entry function is called instead. A class has
    to bear its name: descriptions that want a class name it.

    Args:
        predictions: Program texts.
        pairs: The pair of each; equally many, each with tests.
        sandbox: Where they run.

    Returns:
        A verdict for each prediction, in order.

    Raises:
        ValueError: If a pair has no tests, or one that does not parse or asserts nothing.
    """
    jobs: list[Job] = []
    checks: list[list[Check]] = []
    for prediction, pair in zip(predictions, pairs, strict=True):
        job, own = _prepare(prediction, pair)
        jobs.append(job)
        checks.append(own)
    runnable = [number for number, job in enumerate(jobs) if parse(job.code) is not None]
    outcomes = dict(zip(runnable, sandbox.run(jobs[number] for number in runnable), strict=True))
    return [_judge(own, jobs[number], outcomes.get(number)) for number, own in enumerate(checks)]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate the chance that one of `k` samples passes, from `c` that passed of `n` drawn.

    Unbiased; Chen et al. (2021), Evaluating Large Language Models Trained on Code, equation 1.

    Raises:
        ValueError: If not 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {c} passed among {n} samples: need 0 <= c <= n, 1 <= k <= n")
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k))


def _prepare(prediction: str, pair: Pair) -> tuple[Job, list[Check]]:
    """Write the job of one prediction: its program, what the tests set up, the calls."""
    tree, reference = parse(prediction), parse(pair.code)
    checks: list[Check] = []
    setup: list[str] = []
    for text in pair.tests:
        test = parse(text)
        if test is None:
            raise ValueError(f"a test of {pair.id} does not parse: {text}")
        if tree is not None and reference is not None:
            _rename(test, tree, reference)
        for statement in test.body:
            if isinstance(statement, ast.Assert):
                checks.append(split_test(statement))
            else:
                setup.append(ast.unparse(statement))
    if not checks:
        raise ValueError(f"{pair.id} has no tests: there is no assert in {list(pair.tests)}")
    calls = tuple(ast.unparse(check.call) for check in checks)
    code = "\n".join([prediction, *dict.fromkeys(setup)])
    return Job(code, calls), checks


def _rename(test: ast.Module, tree: ast.Module, reference: ast.Module) -> None:
    """Let a test call the program's own function in place of the reference's, where it has to."""
    own = {function.name for function in functions(tree)}
    theirs = {function.name for function in functions(reference)}
    names = [node for node in ast.walk(test) if isinstance(node, ast.Name)]
    missing = {node.id for node in names} & (theirs - own)
    if len(missing) != 1:
        return
    counts = [
        len(node.args)
        for node in ast.walk(test)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in missing
    ]
    entry = entry_function(tree, counts[0] if counts else None)
    if entry is not None:
        for node in names:
            if node.id in missing:
                node.id = entry.name


def _judge(checks: list[Check], job: Job, outcome: Outcome | None) -> Verdict:
    n_inside = sum(check.inside for check in checks)
    if outcome is None:
        return Verdict(False, 0, len(checks), n_inside, "does not parse", "")
    if not outcome.load.finished:
        problem = outcome.load.problem
        return Verdict(False, 0, len(checks), n_inside, problem, _told(outcome.load))
    failing, problem, n_passed = "", "", 0
    for check, call, result in zip(checks, job.calls, outcome.calls, strict=True):
        own = (
            result.problem
            if not result.finished
            else ""
            if _holds(check, result)
            else "wrong value"
        )
        n_passed += not own
        if own and not problem:
            problem = own
            failing = f"{call} {_told(result)}; asserted: {check.expected}"
    return Verdict(not problem, n_passed, len(checks), n_inside, problem, failing)


def _holds(check: Check, result: Result) -> bool:
    try:
        return check.holds(decode(result.value))
    except Exception:  # an odd value against an odd test, such as None < 3
        return False


def _told(result: Result) -> str:
    if result.finished:
        return f"gave {tell(result.value)}"
    return f"ended with {result.problem}" + (f": {result.message}" if result.message else "")
