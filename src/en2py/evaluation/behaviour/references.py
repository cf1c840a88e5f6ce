"""Which references can be oracles, and on which inputs they are watched.

A reference becomes an oracle when it has an entry function with one to six plain parameters, does
the same in two processes with different hash seeds, and gives at least two different results. A
reference without functions becomes one as a script: it ends without an exception, prints something,
and prints the same twice.
"""

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.inputs import N_CANDIDATES, N_PROBES, Kinds, choices, draw
from en2py.evaluation.behaviour.oracle import STDIN, Answer, Oracle, definitions, finished
from en2py.evaluation.execution.entry_point import Function, entry_function, functions
from en2py.sandbox import Job, Result, Sandbox
from en2py.sandbox.serialization import encode, is_comparable, same

MAX_INPUTS = 40
MIN_INPUTS = 3
MAX_PARAMETERS = 6
CALL_S = 0.1  # processor seconds a reference may take for one input
REFERENCE_S = 3.0  # and for all that is tried on it
SCRIPT_S = 2.0  # a script, from start to end
ROUNDS = 3  # choices of argument kinds that are followed up where the likeliest lead nowhere
# Whoever asks the clock answers otherwise tomorrow, though the same in two processes now.
_CLOCK = {"now", "today", "utcnow", "ctime", "localtime", "gmtime", "asctime", "perf_counter"}


@dataclass(frozen=True)
class OracleCandidate:
    """A reference's oracle, or the reason why it has none; `kind` tells which was tried."""

    kind: str
    oracle: Oracle | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for a cache in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "OracleCandidate":
        """Undo `to_dict`, also after a trip through JSON."""
        oracle = None if record["oracle"] is None else Oracle.from_dict(record["oracle"])
        return cls(record["kind"], oracle, record["reason"])


def build_oracles(codes: Sequence[str], sandbox: Sandbox, other: Sandbox) -> list[OracleCandidate]:
    """Make oracles of references, each distinct text once.

    Inputs on which the reference needs more than `CALL_S` are left out, so a slower machine may
    keep others: make oracles once and keep them with the data.

    Args:
        codes: The references.
        sandbox: Where they run.
        other: A second sandbox with another hash seed, for the test of stability.

    Returns:
        For each reference its oracle, or the reason why it cannot carry one.

    Raises:
        ValueError: If both sandboxes have the same hash seed.
    """
    if sandbox.hash_seed == other.hash_seed:
        raise ValueError(f"both sandboxes have hash seed {sandbox.hash_seed}: nothing is tested")
    trials = {code: _Trial(code) for code in dict.fromkeys(codes)}
    going = [trial for trial in trials.values() if not trial.reason]
    for trial, probed in zip(going, sandbox.run(trial.probes() for trial in going), strict=True):
        trial.rank(probed.load, probed.calls)
    for _ in range(ROUNDS):
        going = [trial for trial in going if trial.next_choice()]
        jobs = [trial.job() for trial in going]
        for trial, first, second in zip(going, sandbox.run(jobs), other.run(jobs), strict=True):
            trial.conclude([first.load, *first.calls], [second.load, *second.calls])
    return [trials[code].admission() for code in codes]


def count_reasons(admissions: Sequence[OracleCandidate]) -> dict[str, int]:
    """Count why references carry no oracle, the most frequent first."""
    counts = Counter(f"{own.kind}: {own.reason}" for own in admissions if own.oracle is None)
    return dict(counts.most_common())


class _Trial:
    """One reference on its way to being an oracle."""

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
            self.reason = "asks the clock"
        if not functions(tree):
            self.kind = "class" if any(isinstance(n, ast.ClassDef) for n in tree.body) else "script"
            if self.kind == "class":
                self.reason = self.reason or "a class without a function"
            return
        self.function = entry_function(tree)
        self.code = definitions(tree)
        self.reason = self.reason or self._refuse_parameters()

    def _refuse_parameters(self) -> str:
        assert self.function is not None
        if isinstance(self.function.node, ast.AsyncFunctionDef):
            return "asynchronous"
        self.n = self.function.n_required or len(self.function.parameters)
        if self.function.node.args.vararg is not None or not self.function.takes(self.n):
            return "parameters that are not plain"
        if not self.n:
            return "no parameters"
        return f"more than {MAX_PARAMETERS} parameters" if self.n > MAX_PARAMETERS else ""

    def _calls(self, inputs: Sequence[str]) -> tuple[str, ...]:
        assert self.function is not None
        return tuple(f"{self.function.name}({own})" for own in inputs)

    def probes(self) -> Job:
        """Try a few inputs of each choice of kinds."""
        if self.function is None:
            return Job("")
        self.tried = choices(self.function, self.n)
        self.inputs = [
            text
            for choice in self.tried
            for text in _padded(draw(self.function, choice.kinds, 2 * N_PROBES, self.tree))
        ]
        return Job(self.code, self._calls(self.inputs), "", REFERENCE_S, CALL_S)

    def rank(self, load: Result, probed: Sequence[Result]) -> None:
        """Order the choices of kinds by what speaks for them, the probes' results included."""
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
            return

    def next_choice(self) -> bool:
        """Draw the inputs of the next choice of kinds; False where the trial is over."""
        if self.is_done or (self.function is not None and not self.ranked):
            return False
        if self.function is not None:
            self.inputs = draw(self.function, self.ranked.pop(0).kinds, N_CANDIDATES, self.tree)
        return True

    def job(self) -> Job:
        """Run the inputs that were drawn."""
        if self.function is None:
            return Job(self.code, (), STDIN, SCRIPT_S)
        return Job(self.code, self._calls(self.inputs), "", REFERENCE_S, CALL_S)

    def conclude(self, first: list[Result], second: list[Result]) -> None:
        """Compare the two runs and keep the inputs that tell programs apart."""
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
        chosen = _most_telling(kept)
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

    def admission(self) -> OracleCandidate:
        return OracleCandidate(self.kind, self.oracle, self.reason)


def _padded(inputs: list[str]) -> list[str]:
    """Spread a few probes over the pool; exactly `N_PROBES`, with repeats where it is smaller."""
    spread = [inputs[(place * len(inputs)) // N_PROBES] for place in range(N_PROBES)]
    return spread


def _is_usable(result: Result) -> bool:
    return result.finished and is_comparable(result.value)


def _effect(text: str, answer: Answer) -> str:
    """Write what a call did: its value, its output, and the arguments that it changed."""
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


def _most_telling(kept: list[tuple[str, Answer]]) -> list[tuple[str, Answer]]:
    """Choose up to `MAX_INPUTS`, taking turns among the different results."""
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
