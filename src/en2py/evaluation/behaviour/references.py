"""Build oracles from references.

A function becomes an oracle if it is an entry function with one to six positional parameters,
behaves equally in two processes with different hash seeds, and has at least two different results.
A reference without functions becomes one as a script if it ends without an exception and prints the
same text twice.
"""

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.inputs import N_CANDIDATES, N_PROBES, Kinds, choices, draw
from en2py.evaluation.behaviour.oracle import STDIN, Answer, Oracle, definitions, finished
from en2py.evaluation.execution.entry_point import Function, entry_function, functions
from en2py.evaluation.execution.jobs import run_jobs
from en2py.sandbox import Job, Result, Sandbox
from en2py.sandbox.serialization import encode, is_comparable, same

MAX_INPUTS = 40
MIN_INPUTS = 3
MAX_PARAMETERS = 6
CALL_S = 0.1  # CPU seconds of a reference for one input
REFERENCE_S = 3.0  # for all inputs of one run
SCRIPT_S = 2.0  # for a whole script
ROUNDS = 3  # combinations of argument kinds that are tried, the likeliest first
# Programs that read the clock are excluded: two runs a moment apart would agree by chance.
_CLOCK = {"now", "today", "utcnow", "ctime", "localtime", "gmtime", "asctime", "perf_counter"}


@dataclass(frozen=True)
class OracleCandidate:
    """The oracle of a reference, or the reason why it has none.

    Attributes:
        kind: `function`, `script` or `class`.
        oracle: None where the reference cannot be tested.
        reason: Empty where there is an oracle.
    """

    kind: str
    oracle: Oracle | None
    reason: str


def build_oracles(codes: Sequence[str], sandbox: Sandbox, other: Sandbox) -> list[OracleCandidate]:
    """Build the oracles of references, each distinct text once.

    Inputs on which the reference takes more than `CALL_S` are excluded. This depends on the
    machine, so oracles are built once and stored with the data.

    Args:
        codes: The references.
        sandbox: Executes the references.
        other: A second sandbox with another hash seed, to detect unstable behaviour.

    Raises:
        ValueError: If both sandboxes have the same hash seed.
    """
    if sandbox.hash_seed == other.hash_seed:
        raise ValueError(
            f"both sandboxes have hash seed {sandbox.hash_seed}; stability needs two different ones"
        )
    trials = {code: _Trial(code) for code in dict.fromkeys(codes)}
    active = [trial for trial in trials.values() if not trial.reason]
    for trial, probed in zip(
        active, run_jobs(sandbox, (trial.probes() for trial in active)), strict=True
    ):
        trial.rank(probed.load, probed.calls)
    for _ in range(ROUNDS):
        active = [trial for trial in active if trial.next_choice()]
        jobs = [trial.job() for trial in active]
        for trial, first, second in zip(
            active, run_jobs(sandbox, jobs), run_jobs(other, jobs), strict=True
        ):
            trial.conclude([first.load, *first.calls], [second.load, *second.calls])
    return [trials[code].candidate() for code in codes]


def count_reasons(admissions: Sequence[OracleCandidate]) -> dict[str, int]:
    """Count the reasons for having no oracle, the most frequent first."""
    counts = Counter(f"{own.kind}: {own.reason}" for own in admissions if own.oracle is None)
    return dict(counts.most_common())


class _Trial:
    """The search for the oracle of one reference."""

    def __init__(self, code: str) -> None:
        self.kind, self.reason = "function", ""
        self.oracle: Oracle | None = None
        self.n = 0
        self.inputs: list[str] = []
        self.tried: list[Kinds] = []
        self.ranked: list[Kinds] = []
        self.is_done = False
        self.code = code
        self.function: Function | None = None
        tree = parse(code)
        if tree is None:
            self.reason = "does not parse"
            return
        self.tree = tree
        if any(isinstance(node, ast.Attribute) and node.attr in _CLOCK for node in ast.walk(tree)):
            self.reason = "reads the clock"
        if not functions(tree):
            self.kind = "class" if any(isinstance(n, ast.ClassDef) for n in tree.body) else "script"
            if self.kind == "class":
                self.reason = self.reason or "a class without a function"
            return
        self.function = entry_function(tree)
        self.code = definitions(tree)
        self.reason = self.reason or self._parameter_problem()

    def _parameter_problem(self) -> str:
        assert self.function is not None
        if isinstance(self.function.node, ast.AsyncFunctionDef):
            return "asynchronous"
        self.n = self.function.n_required or len(self.function.parameters)
        if self.function.node.args.vararg is not None or not self.function.takes(self.n):
            return "parameters that are not positional"
        if not self.n:
            return "no parameters"
        return f"more than {MAX_PARAMETERS} parameters" if self.n > MAX_PARAMETERS else ""

    def _calls(self, inputs: Sequence[str]) -> tuple[str, ...]:
        assert self.function is not None
        return tuple(f"{self.function.name}({own})" for own in inputs)

    def probes(self) -> Job:
        """Return the job that tries a few inputs of each combination of kinds."""
        if self.function is None:
            return Job("")
        self.tried = choices(self.function, self.n)
        self.inputs = [
            text
            for choice in self.tried
            for text in _spaced(draw(self.function, choice.kinds, 2 * N_PROBES, self.tree))
        ]
        return Job(self.code, self._calls(self.inputs), "", REFERENCE_S, CALL_S)

    def rank(self, load: Result, probed: Sequence[Result]) -> None:
        """Rank the combinations of kinds by their evidence and by the results of the probes."""
        if self.function is None:
            return
        if not load.finished:
            self.reason, self.is_done = f"does not load: {load.problem}", True
            return
        scored: list[tuple[float, Kinds]] = []
        for place, choice in enumerate(self.tried):
            here = slice(place * N_PROBES, (place + 1) * N_PROBES)
            good = [
                (text, Answer.of(result))
                for text, result in zip(self.inputs[here], probed[here], strict=True)
                if _is_usable(result)
            ]
            if not good:
                continue
            n_different = len({_effect(*own) for own in good})
            score = choice.weight + 3 * len(good) / N_PROBES + n_different / N_PROBES
            score -= 4 * (n_different == 1)
            scored.append((score, choice))
        self.ranked = [choice for _, choice in sorted(scored, key=lambda own: -own[0])]
        if not scored:
            problems = Counter(
                result.problem or "no comparable result"
                for result in probed
                if result.killed != "not reached"
            )
            self.reason = f"no input found ({problems.most_common(1)[0][0]})"

    def next_choice(self) -> bool:
        """Draw the inputs of the next combination of kinds; return False where none is left."""
        if self.is_done or (self.function is not None and not self.ranked):
            return False
        if self.function is not None:
            self.inputs = draw(self.function, self.ranked.pop(0).kinds, N_CANDIDATES, self.tree)
        return True

    def job(self) -> Job:
        """Return the job that runs the drawn inputs."""
        if self.function is None:
            return Job(self.code, (), STDIN, SCRIPT_S)
        return Job(self.code, self._calls(self.inputs), "", REFERENCE_S, CALL_S)

    def conclude(self, first: list[Result], second: list[Result]) -> None:
        """Compare the two runs and keep the inputs that distinguish programs best."""
        if self.function is None:
            self.is_done = True
            self._conclude_script(first[0], second[0])
            return
        kept: list[tuple[str, Answer]] = []
        for text, one, other in zip(self.inputs, first[1:], second[1:], strict=True):
            if not (_is_usable(one) and _is_usable(other)):
                continue
            answer = Answer.of(one)
            if not answer.same(Answer.of(other)):
                self.reason, self.is_done = "not stable", True
                return
            kept.append((text, answer))
        if len(kept) < MIN_INPUTS:
            self.reason = self.reason or f"fewer than {MIN_INPUTS} usable inputs"
            return
        chosen = _most_distinctive(kept)
        if len({_effect(*own) for own in chosen}) == 1:
            self.reason = self.reason or "always the same result"
            return
        inputs, answers = zip(*chosen, strict=True)
        self.reason, self.is_done = "", True
        self.oracle = Oracle("function", inputs, answers, self.n)

    def _conclude_script(self, one: Result, other: Result) -> None:
        for result in (one, other):
            if not finished(result):
                self.reason = f"ends with {result.problem}"
                return
        answer = Answer.of(one)
        if not answer.printed:
            self.reason = "prints nothing"
        elif answer != Answer.of(other):
            self.reason = "not stable"
        else:
            self.oracle = Oracle("script", ("",), (answer,), 0)

    def candidate(self) -> OracleCandidate:
        """Return the oracle, or the reason for having none."""
        return OracleCandidate(self.kind, self.oracle, self.reason)


def _spaced(inputs: list[str]) -> list[str]:
    """Return `N_PROBES` inputs, evenly spaced; with repeats where there are fewer."""
    return [inputs[(place * len(inputs)) // N_PROBES] for place in range(N_PROBES)]


def _is_usable(result: Result) -> bool:
    return result.finished and is_comparable(result.value)


def _effect(text: str, answer: Answer) -> str:
    """Return the effect of a call as text: its value, its output, and the changed arguments."""
    try:
        before = ast.literal_eval(f"[{text}]")
    except ValueError:  # set() or a function
        before = []
    changed = [
        after
        for own, after in zip(before, answer.arguments, strict=False)
        if not same(encode(own), after)
    ]
    return repr((answer.value, answer.printed, changed))


def _most_distinctive(kept: list[tuple[str, Answer]]) -> list[tuple[str, Answer]]:
    """Choose up to `MAX_INPUTS` inputs, in rotation over the different results."""
    groups: dict[str, list[tuple[str, Answer]]] = {}
    for text, answer in kept:
        groups.setdefault(_effect(text, answer), []).append((text, answer))
    chosen: list[tuple[str, Answer]] = []
    while groups and len(chosen) < MAX_INPUTS:
        for key in list(groups):
            if len(chosen) < MAX_INPUTS:
                chosen.append(groups[key].pop(0))
            if not groups[key]:
                del groups[key]
    order = {text: place for place, (text, _) in enumerate(kept)}
    return sorted(chosen, key=lambda item: order[item[0]])
