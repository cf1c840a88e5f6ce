"""Build oracles from references.

A function becomes an oracle if it is an entry function with one to six positional parameters,
behaves equally in two processes with different hash seeds, which call it on the inputs in opposite
orders, and has at least two different results.
A reference without functions becomes one as a script if it ends without an exception and prints the
same text twice.
"""

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.inputs import N_CANDIDATES, N_PROBES, Kinds, choices, draw
from en2py.evaluation.behaviour.oracle import STDIN, Answer, Oracle, definitions, finished
from en2py.evaluation.execution.entry_point import Function, entry_function
from en2py.evaluation.execution.jobs import run_jobs
from en2py.evaluation.execution.result import FUNCTION, SCRIPT
from en2py.sandbox import Job, Result, Sandbox
from en2py.sandbox.serialization import encode, is_comparable, same

CLASS = "class"  # a kind of reference, beside FUNCTION and SCRIPT
MAX_INPUTS = 40
MIN_INPUTS = 3
MAX_PARAMETERS = 6
CALL_S = 0.1  # CPU seconds of a reference for one input
REFERENCE_S = 3.0  # for all inputs of one run
SCRIPT_S = 2.0  # for a whole script
ROUNDS = 3  # combinations of argument kinds that are tried, the likeliest first
# Programs that read the clock are excluded: two runs a moment apart would agree by chance.
_CLOCK = {"now", "today", "utcnow", "ctime", "localtime", "gmtime", "asctime", "perf_counter"}
# So are scripts that draw random numbers: they answer once, and may agree by chance.
_RANDOM = {"random", "secrets", "uuid"}


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
    machine, so oracles are built once and stored with the data. The other sandbox has another hash
    seed, to detect unstable behaviour.

    Raises:
        ValueError: If both sandboxes have the same hash seed.
    """
    if sandbox.hash_seed == other.hash_seed:
        raise ValueError(
            f"both sandboxes have hash seed {sandbox.hash_seed}; stability needs two different ones"
        )
    found: dict[str, OracleCandidate] = {}
    scripts: list[str] = []
    trials: dict[str, _Trial] = {}
    for code in dict.fromkeys(codes):
        tree = parse(code)
        kind, reason = (FUNCTION, "does not parse") if tree is None else _kind(tree)
        if tree is None or reason:
            found[code] = OracleCandidate(kind, None, reason)
        elif kind == SCRIPT:
            scripts.append(code)
        else:
            trials[code] = _Trial(tree)

    jobs = [Job(code, (), STDIN, SCRIPT_S) for code in scripts]
    ran = zip(scripts, run_jobs(sandbox, jobs), run_jobs(other, jobs), strict=True)
    found |= {code: _of_script(first.load, second.load) for code, first, second in ran}

    active = [*trials.values()]
    probed = run_jobs(sandbox, (trial.probes() for trial in active))
    for trial, outcome in zip(active, probed, strict=True):
        trial.rank(outcome.load, outcome.calls)
    for _ in range(ROUNDS):
        active = [trial for trial in active if trial.next_choice()]
        called = run_jobs(sandbox, [trial.job() for trial in active])
        first = [outcome.calls for outcome in called]
        jobs = [trial.repetition(calls) for trial, calls in zip(active, first, strict=True)]
        for trial, calls, again in zip(active, first, run_jobs(other, jobs), strict=True):
            trial.conclude(calls, again.calls)
    found |= {
        code: OracleCandidate(FUNCTION, trial.oracle, trial.reason)
        for code, trial in trials.items()
    }
    return [found[code] for code in codes]


def count_reasons(candidates: Sequence[OracleCandidate]) -> dict[str, int]:
    """Count the reasons for having no oracle, the most frequent first."""
    counts = Counter(f"{own.kind}: {own.reason}" for own in candidates if own.oracle is None)
    return dict(counts.most_common())


def _kind(tree: ast.Module) -> tuple[str, str]:
    """Return the kind of a reference, and why it has no oracle; empty if it may have one."""
    kind, function = FUNCTION, entry_function(tree)
    if function is None:
        kind = CLASS if any(isinstance(node, ast.ClassDef) for node in tree.body) else SCRIPT
    if any(map(_reads_clock, ast.walk(tree))):
        return kind, "reads the clock"
    if kind == SCRIPT and _draws(tree):
        return kind, "draws random numbers"
    if kind == CLASS:
        return kind, "a class without a function"
    return kind, "" if function is None else _parameter_problem(function)


def _reads_clock(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr=name) if name in _CLOCK:
            return True
        case ast.ImportFrom(module="time", names=names):
            return any(alias.name in {*_CLOCK, "strftime"} for alias in names)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="strftime"), args=[_]):
            return True  # of now; with two arguments of another time
    return False


def _draws(tree: ast.Module) -> bool:
    """Return whether a program imports random numbers and sets no seed."""
    imported, named = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            named.add(node.attr)
    return bool(imported & _RANDOM) and "seed" not in named


def _parameter_problem(function: Function) -> str:
    if isinstance(function.node, ast.AsyncFunctionDef):
        return "asynchronous"
    n = function.n_arguments
    if function.node.args.vararg is not None or not function.takes(n):
        return "parameters that are not positional"
    if not n:
        return "no parameters"
    return f"more than {MAX_PARAMETERS} parameters" if n > MAX_PARAMETERS else ""


def _of_script(one: Result, other: Result) -> OracleCandidate:
    """Compare the two runs of a script."""
    for result in (one, other):
        if not finished(result):
            return OracleCandidate(SCRIPT, None, f"ends with {result.problem}")
    answer = Answer.of(one)
    if not answer.printed:
        return OracleCandidate(SCRIPT, None, "prints nothing")
    if answer != Answer.of(other):
        return OracleCandidate(SCRIPT, None, "not stable")
    return OracleCandidate(SCRIPT, Oracle(SCRIPT, ("",), (answer,), 0), "")


class _Trial:
    """The search for the oracle of a function.

    Attributes:
        oracle: None as long as none is found.
        reason: Why there is none.
    """

    def __init__(self, tree: ast.Module) -> None:
        function = entry_function(tree)
        assert function is not None
        self.function, self.tree, self.code = function, tree, definitions(tree)
        self.oracle: Oracle | None = None
        self.reason = ""
        self._inputs: list[str] = []
        self._choices: list[Kinds] = []  # those left to try, the likeliest first

    def job(self) -> Job:
        """Return the job that runs the drawn inputs."""
        calls = tuple(f"{self.function.name}({own})" for own in self._inputs)
        return Job(self.code, calls, "", REFERENCE_S, CALL_S)

    def repetition(self, first: Sequence[Result]) -> Job:
        """Return the job that repeats the calls with a usable result, the last one first.

        So a function that counts its calls, or collects their arguments, is not stable.
        """
        job = self.job()
        usable = [call for call, one in zip(job.calls, first, strict=True) if _is_usable(one)]
        return replace(job, calls=tuple(reversed(usable)))

    def probes(self) -> Job:
        """Return the job that tries a few inputs of each combination of kinds."""
        self._choices = choices(self.function, self.function.n_arguments)
        self._inputs = [
            text
            for choice in self._choices
            for text in _spaced(draw(self.function, choice.kinds, 2 * N_PROBES, self.tree))
        ]
        return self.job()

    def rank(self, load: Result, probed: Sequence[Result]) -> None:
        """Rank the combinations of kinds by their evidence and by the results of the probes."""
        tried, self._choices = self._choices, []
        if not load.finished:
            self.reason = f"does not load: {load.problem}"
            return
        scored: list[tuple[float, Kinds]] = []
        for place, choice in enumerate(tried):
            here = slice(place * N_PROBES, (place + 1) * N_PROBES)
            good = [
                (text, Answer.of(result))
                for text, result in zip(self._inputs[here], probed[here], strict=True)
                if _is_usable(result)
            ]
            if not good:
                continue
            n_different = len({_effect(*own) for own in good})
            score = choice.weight + 3 * len(good) / N_PROBES + n_different / N_PROBES
            score -= 4 * (n_different == 1)
            scored.append((score, choice))
        self._choices = [choice for _, choice in sorted(scored, key=lambda own: -own[0])]
        if not scored:
            problems = Counter(
                result.problem or "no comparable result"
                for result in probed
                if result.killed != "not reached"
            )
            self.reason = f"no input found ({problems.most_common(1)[0][0]})"

    def next_choice(self) -> bool:
        """Draw the inputs of the next combination of kinds; return False where none is left."""
        if not self._choices:
            return False
        self._inputs = draw(self.function, self._choices.pop(0).kinds, N_CANDIDATES, self.tree)
        return True

    def conclude(self, first: Sequence[Result], second: Sequence[Result]) -> None:
        """Compare both runs, see `repetition`; keep the inputs that distinguish programs best."""
        kept: list[tuple[str, Answer]] = []
        usable = [own for own in zip(self._inputs, first, strict=True) if _is_usable(own[1])]
        for (text, one), other in zip(usable, reversed(second), strict=True):
            if not _is_usable(other):
                continue
            answer = Answer.of(one)
            if not answer.same(Answer.of(other)):
                self.reason, self._choices = "not stable", []
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
        self.reason, self._choices = "", []
        self.oracle = Oracle(FUNCTION, inputs, answers, self.function.n_arguments)


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
