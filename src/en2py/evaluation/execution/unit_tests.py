"""Functional correctness: whether a program passes the `assert` statements of its pair.

A test is split in two: the sandbox evaluates the call, and its value is compared here with the
expected one. So a program can neither read the expected values nor change its verdict. This holds
for `assert <expression> == <constant>` (and `!=`, `<`, `is`, `in`, `math.isclose`, a bound on
`abs(expression - constant)`), the forms in `tasks` and MBPP. Any other assert is evaluated in the
sandbox, where the program could read the expected value. Other statements of a test run where they
are: after the asserts before them. `if __name__ == "__main__"` is left out: tests import a program.
"""

import ast
import math
from collections.abc import Sequence

from en2py.data.pairs import Pair
from en2py.data.syntax import attempt, has_assert, is_main_guard, parse
from en2py.evaluation.execution.asserts import Check, split_test
from en2py.evaluation.execution.entry_point import entry_function, functions
from en2py.evaluation.execution.jobs import run_prepared
from en2py.evaluation.execution.result import TESTS, ExecutionResult
from en2py.sandbox import Job, Outcome, Result, Sandbox
from en2py.sandbox.serialization import as_text, decode


def passes_tests(
    predictions: Sequence[str], pairs: Sequence[Pair], sandbox: Sandbox
) -> list[ExecutionResult]:
    """Run each prediction against the tests of its pair.

    A function may have another name than in the reference: where the program lacks a name that the
    tests call and the reference defines, its entry function is called instead. A class must have
    the expected name, which descriptions of classes contain.

    Raises:
        ValueError: If a pair has no assert, or a test that does not parse.
    """
    prepared = (_prepare(*one) for one in zip(predictions, pairs, strict=True))
    return [_result(*own) for own in run_prepared(sandbox, prepared)]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate the probability that one of `k` samples passes, if `c` of `n` samples passed.

    Unbiased; Chen et al. (2021), Evaluating Large Language Models Trained on Code, equation 1.
    """
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k))


def _prepare(prediction: str, pair: Pair) -> tuple[Job | None, list[Check]]:
    """Return the job of a prediction, which runs its tests in order, and the check of each call.

    There is no job for a prediction that does not parse.
    """
    tree, reference = parse(prediction), parse(pair.code)
    checks: list[Check] = []
    calls: list[str] = []
    before: list[str] = []  # statements since the last assert: its call may depend on them
    for text in pair.tests:
        test = parse(text)
        if test is None:
            raise ValueError(f"a test of {pair.id} does not parse: {text}")
        if tree is not None and reference is not None:
            _rename(test, tree, reference)
        for statement in test.body:
            if isinstance(statement, ast.Assert):
                checks.append(split_test(statement))
                calls.append("\n".join([*before, ast.unparse(checks[-1].call)]))
                before = []
            else:
                before.append(ast.unparse(statement))
    if not any(map(has_assert, pair.tests)):
        raise ValueError(f"{pair.id} has no tests: there is no assert in {list(pair.tests)}")
    if before:  # may raise
        checks.append(Check(ast.Constant(None), lambda value: value is None, "no exception"))
        calls.append("\n".join([*before, "None"]))
    if tree is None:
        return None, checks
    imported = [statement for statement in tree.body if not is_main_guard(statement)]
    if len(imported) < len(tree.body):
        prediction = attempt(lambda: ast.unparse(ast.Module(imported, []))) or prediction
    return Job(prediction, tuple(calls)), checks


def _rename(test: ast.Module, tree: ast.Module, reference: ast.Module) -> None:
    """Let a test call the program's entry function if the reference's function is missing."""
    own = _callables(tree)
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


def _callables(tree: ast.Module) -> set[str]:
    """Return the functions and classes that a program defines or imports, and other names of them.

    `total = add(1, 2)` is none, for a test may call a function of this name in the reference.
    """
    found = {function.name for function in functions(tree)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.Assign):
            named = node.value.id if isinstance(node.value, ast.Name) else ""
            if named in found or isinstance(node.value, ast.Attribute):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _result(outcome: Outcome | None, checks: Sequence[Check]) -> ExecutionResult:
    if outcome is None:
        return ExecutionResult(TESTS, False, False, "does not parse", "")
    if not outcome.load.finished:
        return ExecutionResult(TESTS, False, False, outcome.load.problem, _shown(outcome.load))
    for check, result in zip(checks, outcome.calls, strict=True):
        if not result.finished or not _holds(check, result):
            problem = result.problem or "wrong value"
            detail = f"{ast.unparse(check.call)} {_shown(result)}; asserted: {check.expected}"
            return ExecutionResult(TESTS, False, result.finished, problem, detail)
    return ExecutionResult(TESTS, True, True, "", "")


def _holds(check: Check, result: Result) -> bool:
    try:
        return check.holds(decode(result.value))
    except Exception:  # a value that the test cannot compare: None < 3
        return False


def _shown(result: Result) -> str:
    if result.finished:
        return f"gave {as_text(result.value)}"
    return f"ended with {result.problem}" + (f": {result.message}" if result.message else "")
