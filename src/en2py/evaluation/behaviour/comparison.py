"""Does a prediction behave like the reference? It runs on the oracle's inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.oracle import STDIN, Answer, Oracle, definitions, finished
from en2py.evaluation.execution.entry_point import entry_function, functions
from en2py.sandbox import Job, Outcome, Sandbox
from en2py.sandbox.serialization import same, tell

PREDICTION_CALL_S = 0.5  # processor seconds for one input; the reference had a fifth of it


@dataclass(frozen=True)
class Verdict:
    """How a prediction compares with its reference.

    Attributes:
        behaves: Whether it did the same on every input.
        runs: Whether it ended on every input without an exception.
        n_same: On how many inputs it did the same.
        n_inputs: Of how many.
        problem: Why it does not behave, in a few words for counting; empty if it does.
        failing: The first input that tells them apart and what came, for a person.
    """

    behaves: bool
    runs: bool
    n_same: int
    n_inputs: int
    problem: str
    failing: str


def behaves_like(
    predictions: Sequence[str], oracles: Sequence[Oracle], sandbox: Sandbox
) -> list[Verdict]:
    """Run each prediction on its oracle's inputs.

    Args:
        predictions: Program texts.
        oracles: The oracle of each one's reference; equally many.
        sandbox: Where they run.

    Returns:
        A verdict for each prediction, in order.
    """
    prepared = [_prepare(code, oracle) for code, oracle in zip(predictions, oracles, strict=True)]
    outcomes = iter(sandbox.run(job for job, _ in prepared if job is not None))
    verdicts = []
    for (job, problem), oracle in zip(prepared, oracles, strict=True):
        if job is None:
            verdicts.append(Verdict(False, False, 0, len(oracle.inputs), problem, ""))
        elif oracle.kind == "script":
            verdicts.append(_judge_script(next(outcomes), oracle))
        else:
            verdicts.append(_judge(next(outcomes), oracle))
    return verdicts


def _prepare(code: str, oracle: Oracle) -> tuple[Job | None, str]:
    """Write the job of a prediction, or the reason why it cannot be asked."""
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


def _judge_script(outcome: Outcome, oracle: Oracle) -> Verdict:
    load = outcome.load
    if not finished(load):
        return Verdict(False, False, 0, 1, load.problem, load.message)
    printed = Answer.of(load).printed
    behaves = printed == oracle.answers[0].printed
    failing = "" if behaves else f"printed {printed[:200]!r}"
    problem = "" if behaves else "another output"
    return Verdict(behaves, True, int(behaves), 1, problem, failing)


def _judge(outcome: Outcome, oracle: Oracle) -> Verdict:
    n = len(oracle.inputs)
    if not outcome.load.finished:
        return Verdict(False, False, 0, n, outcome.load.problem, outcome.load.message)
    n_same, runs, problem, failing = 0, True, "", ""
    for text, result, expected in zip(oracle.inputs, outcome.calls, oracle.answers, strict=True):
        if result.finished:
            answer = Answer.of(result)
            own, came = _difference(answer, expected), _told(answer)
        else:
            runs, own, came = False, result.problem, f"{result.problem} {result.message}".strip()
        n_same += not own
        if own and not problem:
            problem = own
            failing = f"({text}) gave {came}, the reference {_told(expected)}"
    return Verdict(not problem, runs, n_same, n, problem, failing)


def _difference(answer: Answer, expected: Answer) -> str:
    if answer.same(expected):
        return ""
    if not same(answer.value, expected.value):
        return "another value"
    return "other arguments" if answer.printed == expected.printed else "another output"


def _told(answer: Answer) -> str:
    """Tell an answer to a person."""
    value = tell(answer.value)[:150]
    return f"{value}, printing {answer.printed[:100]!r}" if answer.printed else value
