"""References as oracles: the inputs to watch a program on, and what the reference did there.

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
from en2py.evaluation.entry import Function, entry_function, functions
from en2py.evaluation.sandbox import Job, Result, Sandbox
from en2py.evaluation.sandbox.values import Value, is_comparable, same

MAX_INPUTS = 40
MIN_INPUTS = 3
MAX_PARAMETERS = 6
CALL_S = 0.2  # processor seconds a reference may take for one input
REFERENCE_S = 5.0  # and for all that is tried on it
STDIN = "".join(
    f"{line}\n" for line in (5, 3, 8, 2, 10, 4, 7, 1, 6, 9, 12, 15)
)  # what scripts read
# Whoever asks the clock answers otherwise tomorrow, though the same in two processes now.
_CLOCK = {"now", "today", "utcnow", "ctime", "localtime", "gmtime", "asctime", "perf_counter"}


@dataclass(frozen=True)
class Answer:
    """What a program did on one input, as far as it is compared."""

    value: Value
    arguments: tuple[Value, ...]
    printed: str

    @classmethod
    def of(cls, result: Result) -> "Answer":
        """Take what is compared of a call that returned."""
        return cls(result.value, result.arguments, plain(result.printed))

    def same(self, other: "Answer") -> bool:
        """Whether another program did the same; arguments that are no data are left out."""
        return (
            self.printed == other.printed
            and same(self.value, other.value)
            and len(self.arguments) == len(other.arguments)
            and all(
                same(own, its) or not is_comparable(own)
                for own, its in zip(self.arguments, other.arguments, strict=True)
            )
        )


@dataclass(frozen=True)
class Oracle:
    """A watched reference.

    Attributes:
        kind: `function` or `script`.
        inputs: Texts such as `[1, 2], 3`, one for each call; a script has a single empty one.
        answers: What the reference did on each.
        n_arguments: How many arguments an input has.
    """

    kind: str
    inputs: tuple[str, ...]
    answers: tuple[Answer, ...]
    n_arguments: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for a cache in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Oracle":
        """Undo `to_dict`, also after a trip through JSON."""
        answers = tuple(
            Answer(answer["value"], tuple(answer["arguments"]), answer["printed"])
            for answer in record["answers"]
        )
        return cls(record["kind"], tuple(record["inputs"]), answers, record["n_arguments"])


@dataclass(frozen=True)
class Admission:
    """A reference's oracle, or the reason why it has none; `kind` tells which was tried."""

    kind: str
    oracle: Oracle | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for a cache in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Admission":
        """Undo `to_dict`, also after a trip through JSON."""
        oracle = None if record["oracle"] is None else Oracle.from_dict(record["oracle"])
        return cls(record["kind"], oracle, record["reason"])


def plain(printed: str) -> str:
    """Forget blanks at line ends and empty lines at the end."""
    return "\n".join(line.rstrip() for line in printed.splitlines()).rstrip()


def admit(codes: Sequence[str], sandbox: Sandbox, other: Sandbox) -> list[Admission]:
    """Make oracles of references, each distinct text once.

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
    open_trials = [trial for trial in trials.values() if not trial.reason]
    for trial, probed in zip(
        open_trials, sandbox.run(trial.probes() for trial in open_trials), strict=True
    ):
        trial.choose(probed.load, probed.calls)
    open_trials = [trial for trial in open_trials if not trial.reason]
    jobs = [trial.job() for trial in open_trials]
    for trial, first, second in zip(open_trials, sandbox.run(jobs), other.run(jobs), strict=True):
        trial.conclude([first.load, *first.calls], [second.load, *second.calls])
    return [trials[code].admission() for code in codes]


def count_reasons(admissions: Sequence[Admission]) -> dict[str, int]:
    """Count why references carry no oracle, the most frequent first."""
    counts = Counter(f"{own.kind}: {own.reason}" for own in admissions if own.oracle is None)
    return dict(counts.most_common())


def definitions(tree: ast.Module) -> str:
    """Write the part of a program that a call of its functions needs.

    Imports, functions, classes and assignments stay, the code that drives them goes: it may print,
    ask for input, or fail, and none of that is the function's behaviour. An assignment that fails
    is left out when it runs.
    """
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            if not _asks(node):
                kept.append(node if _is_safe(node) else _attempt(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            kept.append(node if future else _attempt(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Try):
            kept.append(node)
    return ast.unparse(ast.fix_missing_locations(ast.Module(kept, [])))


def _is_safe(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    return isinstance(node.value, ast.Constant | ast.Lambda)


def _attempt(node: ast.stmt) -> ast.Try:
    handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
    return ast.Try([node], [handler], [], [])


def _asks(node: ast.AST) -> bool:
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "input"
        for call in ast.walk(node)
    )


class _Trial:
    """One reference on its way to being an oracle."""

    def __init__(self, code: str) -> None:
        self.kind, self.reason = "function", ""
        self.oracle: Oracle | None = None
        self.n = 0
        self.inputs: list[str] = []
        self.tried: list[Kinds] = []
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
        if not self.n:
            return "no parameters"
        if not self.function.takes(self.n) or self.function.node.args.vararg is not None:
            return "parameters that are not plain"
        return f"more than {MAX_PARAMETERS} parameters" if self.n > MAX_PARAMETERS else ""

    def _calls(self, inputs: Sequence[str]) -> tuple[str, ...]:
        assert self.function is not None
        return tuple(f"{self.function.name}({own})" for own in inputs)

    def probes(self) -> Job:
        """Try a few inputs of each choice of kinds."""
        if self.function is None:
            return Job(self.code, stdin=STDIN)
        self.tried = choices(self.function, self.n)
        self.inputs = [
            text
            for choice in self.tried
            for text in _padded(draw(self.function, choice.kinds, 2 * N_PROBES, self.tree))
        ]
        return Job(self.code, self._calls(self.inputs), "", REFERENCE_S, CALL_S)

    def choose(self, load: Result, probed: Sequence[Result]) -> None:
        """Take the choice of kinds for which most speaks, and draw its inputs."""
        if self.function is None:
            return
        if not load.finished:
            self.reason = f"does not load: {load.problem}"
            return
        best: tuple[float, Kinds] | None = None
        for place, choice in enumerate(self.tried):
            own = probed[place * N_PROBES : (place + 1) * N_PROBES]
            good = [Answer.of(result) for result in own if _is_usable(result)]
            if not good:
                continue
            n_different = sum(
                not any(one.same(before) for before in good[:k]) for k, one in enumerate(good)
            )
            score = choice.weight + 3 * len(good) / N_PROBES + n_different / N_PROBES
            score -= 4 * (n_different == 1)
            if best is None or score > best[0]:
                best = (score, choice)
        if best is None:
            problems = Counter(result.problem or "no comparable result" for result in probed)
            self.reason = f"no input found ({problems.most_common(1)[0][0]})"
            return
        self.inputs = draw(self.function, best[1].kinds, N_CANDIDATES, self.tree)

    def job(self) -> Job:
        """Run the inputs that were drawn."""
        if self.function is None:
            return Job(self.code, stdin=STDIN)
        return Job(self.code, self._calls(self.inputs), "", REFERENCE_S, CALL_S)

    def conclude(self, first: list[Result], second: list[Result]) -> None:
        """Compare the two runs and keep the inputs that tell programs apart."""
        if self.function is None:
            self._conclude_script(first[0], second[0])
            return
        kept: list[tuple[str, Answer]] = []
        for text, one, other in zip(self.inputs, first[1:], second[1:], strict=True):
            if not (_is_usable(one) and _is_usable(other)):
                continue
            answer = Answer.of(one)
            if not answer.same(Answer.of(other)):
                self.reason = "not stable"
                return
            kept.append((text, answer))
        if len(kept) < MIN_INPUTS:
            self.reason = f"fewer than {MIN_INPUTS} usable inputs"
            return
        chosen = _most_telling(kept)
        if all(_result(answer) == _result(chosen[0][1]) for _, answer in chosen):
            self.reason = "always the same result"
            return
        inputs, answers = zip(*chosen, strict=True)
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

    def admission(self) -> Admission:
        return Admission(self.kind, self.oracle, self.reason)


def finished(script: Result) -> bool:
    """Whether a script came to its end; `exit()` without a complaint is one."""
    return script.finished or (
        script.exception == "SystemExit" and script.message in ("0", "None", "")
    )


def _padded(inputs: list[str]) -> list[str]:
    """Spread a few probes over the pool; exactly `N_PROBES`, with repeats where it is smaller."""
    spread = [inputs[(place * len(inputs)) // N_PROBES] for place in range(N_PROBES)]
    return spread


def _is_usable(result: Result) -> bool:
    return result.finished and is_comparable(result.value)


def _result(answer: Answer) -> str:
    return repr((answer.value, answer.printed))


def _most_telling(kept: list[tuple[str, Answer]]) -> list[tuple[str, Answer]]:
    """Choose up to `MAX_INPUTS`, taking turns among the different results."""
    groups: dict[str, list[tuple[str, Answer]]] = {}
    for text, answer in kept:
        groups.setdefault(_result(answer), []).append((text, answer))
    chosen: list[tuple[str, Answer]] = []
    while groups and len(chosen) < MAX_INPUTS:
        for key in list(groups):
            if len(chosen) < MAX_INPUTS:
                chosen.append(groups[key].pop(0))
            if not groups[key]:
                del groups[key]
    order = {text: place for place, (text, _) in enumerate(kept)}
    return sorted(chosen, key=lambda item: order[item[0]])
