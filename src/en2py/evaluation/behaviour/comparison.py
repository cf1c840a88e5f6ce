"""Compare the behaviour of generated programs with oracles."""

from collections.abc import Sequence
from dataclasses import dataclass

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.oracle import STDIN, Answer, Oracle, definitions, finished
from en2py.evaluation.execution.entry_point import entry_function, functions
from en2py.sandbox import Job, Outcome, Sandbox
from en2py.sandbox.serialization import as_text, same

PREDICTION_CALL_S = 0.5  # CPU seconds for one input, five times those of the reference


@dataclass(frozen=True)
class Verdict:
    """The comparison of a prediction with its reference.

    Attributes:
        behaves: Whether all answers are equal.
        runs: Whether it ended on every input without an exception.
        problem: Why it does not behave, in a few words for counting; empty if it does.
        failing: The first input with another answer, and both answers.
    """

    behaves: bool
    runs: bool
    problem: str
    failing: str


def behaves_like(
    predictions: Sequence[str], oracles: Sequence[Oracle], sandbox: Sandbox
) -> list[Verdict]:
    """Run each prediction on its oracle's inputs.

    Args:
        predictions: Program texts.
        oracles: The oracle of each prediction's reference.
        sandbox: Executes the predictions.

    Returns:
        A verdict for each prediction, in order.
    """
    prepared = [_prepare(code, oracle) for code, oracle in zip(predictions, oracles, strict=True)]
    outcomes = iter(sandbox.run(job for job, _ in prepared if job is not None))
    verdicts = []
    for (job, problem), oracle in zip(prepared, oracles, strict=True):
        if job is None:
            verdicts.append(Verdict(False, False, problem, ""))
        else:
            compare = _compare_script if oracle.kind == "script" else _compare_calls
            verdicts.append(compare(next(outcomes), oracle))
    return verdicts


def _prepare(code: str, oracle: Oracle) -> tuple[Job | None, str]:
    """Return the job of a prediction, or the reason why it cannot be run."""
    tree = parse(code)
    if tree is None:
        return None, "does not parse"
    if oracle.kind == "script":
        return Job(code, stdin=STDIN), ""
    entry = entry_function(tree, oracle.n_arguments)
    if entry is None:
        return None, "no function"
    if not entry.takes(oracle.n_arguments):
        known = len(functions(tree))
        return None, f"takes another number of arguments{'' if known == 1 else ' in all functions'}"
    calls = tuple(f"{entry.name}({own})" for own in oracle.inputs)
    return Job(definitions(tree), calls, call_timeout_s=PREDICTION_CALL_S, restarts=False), ""


def _compare_script(outcome: Outcome, oracle: Oracle) -> Verdict:
    load = outcome.load
    if not finished(load):
        return Verdict(False, False, load.problem, load.message)
    printed = Answer.of(load).printed
    if printed == oracle.answers[0].printed:
        return Verdict(True, True, "", "")
    return Verdict(False, True, "another output", f"printed {printed[:200]!r}")


def _compare_calls(outcome: Outcome, oracle: Oracle) -> Verdict:
    if not outcome.load.finished:
        return Verdict(False, False, outcome.load.problem, outcome.load.message)
    runs, problem, failing = True, "", ""
    for text, result, expected in zip(oracle.inputs, outcome.calls, oracle.answers, strict=True):
        if result.finished:
            answer = Answer.of(result)
            own, shown = _difference(answer, expected), _shown(answer)
        else:
            runs, own, shown = False, result.problem, f"{result.problem} {result.message}".strip()
        if own and not problem:
            problem = own
            failing = f"({text}) gave {shown}, the reference {_shown(expected)}"
    return Verdict(not problem, runs, problem, failing)


def _difference(answer: Answer, expected: Answer) -> str:
    if answer.same(expected):
        return ""
    if not same(answer.value, expected.value):
        return "another value"
    return "other arguments" if answer.printed == expected.printed else "another output"


def _shown(answer: Answer) -> str:
    value = as_text(answer.value)[:150]
    return f"{value}, printing {answer.printed[:100]!r}" if answer.printed else value
