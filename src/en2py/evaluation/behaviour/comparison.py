"""Compare the behaviour of generated programs with oracles."""

from collections.abc import Sequence

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.oracle import STDIN, Answer, Oracle, definitions, finished
from en2py.evaluation.execution.entry_point import entry_function, functions
from en2py.evaluation.execution.jobs import run_prepared
from en2py.evaluation.execution.result import FUNCTION, SCRIPT, ExecutionResult
from en2py.sandbox import Job, Outcome, Sandbox
from en2py.sandbox.serialization import as_text, same

PREDICTION_CALL_S = 0.5  # CPU seconds for one input, five times those of the reference
# For a whole script, unless the sandbox allows less. An endless loop, frequent in small models,
# takes all of it; scripts of references take less than a tenth of a second.
PREDICTION_SCRIPT_S = 2.0


def behaves_like(
    predictions: Sequence[str], oracles: Sequence[Oracle], sandbox: Sandbox
) -> list[ExecutionResult]:
    """Run each prediction on the inputs of its reference's oracle."""
    script_s = min(sandbox.timeout_s, PREDICTION_SCRIPT_S)
    prepared = (_prepare(*own, script_s) for own in zip(predictions, oracles, strict=True))
    results = []
    for (outcome, problem), oracle in zip(run_prepared(sandbox, prepared), oracles, strict=True):
        if outcome is None:
            results.append(ExecutionResult(oracle.kind, False, False, problem, ""))
        else:
            compare = _compare_script if oracle.kind == SCRIPT else _compare_calls
            results.append(compare(outcome, oracle))
    return results


def _prepare(code: str, oracle: Oracle, script_s: float) -> tuple[Job | None, str]:
    """Return the job of a prediction, or the reason why it cannot be run."""
    tree = parse(code)
    if tree is None:
        return None, "does not parse"
    if oracle.kind == SCRIPT:
        return Job(code, stdin=STDIN, timeout_s=script_s), ""
    entry = entry_function(tree, oracle.n_arguments)
    if entry is None:
        return None, "no function"
    if not entry.takes(oracle.n_arguments):
        known = len(functions(tree))
        return None, f"takes another number of arguments{'' if known == 1 else ' in all functions'}"
    calls = tuple(f"{entry.name}({own})" for own in oracle.inputs)
    return Job(definitions(tree), calls, call_timeout_s=PREDICTION_CALL_S, restarts=False), ""


def _compare_script(outcome: Outcome, oracle: Oracle) -> ExecutionResult:
    load = outcome.load
    if not finished(load):
        return ExecutionResult(SCRIPT, False, False, load.problem, load.message)
    printed = Answer.of(load).printed
    if printed == oracle.answers[0].printed:
        return ExecutionResult(SCRIPT, True, True, "", "")
    return ExecutionResult(SCRIPT, False, True, "another output", f"printed {printed[:200]!r}")


def _compare_calls(outcome: Outcome, oracle: Oracle) -> ExecutionResult:
    if not outcome.load.finished:
        return ExecutionResult(FUNCTION, False, False, outcome.load.problem, outcome.load.message)
    runs, problem, detail = True, "", ""
    for text, result, expected in zip(oracle.inputs, outcome.calls, oracle.answers, strict=True):
        if result.finished:
            answer = Answer.of(result)
            own, shown = _difference(answer, expected), _shown(answer)
        else:
            runs, own, shown = False, result.problem, f"{result.problem} {result.message}".strip()
        if own and not problem:
            problem = own
            detail = f"({text}) gave {shown}, the reference {_shown(expected)}"
    return ExecutionResult(FUNCTION, not problem, runs, problem, detail)


def _difference(answer: Answer, expected: Answer) -> str:
    if answer.same(expected):
        return ""
    if not same(answer.value, expected.value):
        return "another value"
    return "other arguments" if answer.printed == expected.printed else "another output"


def _shown(answer: Answer) -> str:
    value = as_text(answer.value)[:150]
    return f"{value}, printing {answer.printed[:100]!r}" if answer.printed else value
