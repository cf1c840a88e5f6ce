"""Which references do the same: programs that behave alike get one signature.

Two functions behave alike if each passes for the other: it gives the other's answers on the other's
inputs. To try all pairs would take hours, so only those are tried that agree on a few inputs that
every function of so many parameters is given. Scripts behave alike if they print the same.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from en2py.data.syntax import parse
from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.oracle import Answer, Oracle, definitions
from en2py.evaluation.behaviour.pool import POOLS
from en2py.evaluation.behaviour.references import CALL_S, REFERENCE_S, Admission
from en2py.evaluation.execution.entry_point import entry_function
from en2py.sandbox import Job, Sandbox
from en2py.sandbox.serialization import is_comparable

_N_EACH = 2  # values of each kind among the inputs that all functions are given
_N_MIXED = 24  # inputs of several kinds, for functions of several parameters
_MIN_SHARED = 3  # inputs on which both end, and that do not all give the same

Shown = Mapping[int, Answer]  # input number -> what came, where the call ended


def signatures(admissions: Mapping[str, Admission], sandbox: Sandbox) -> dict[str, str]:
    """Return the signature of each reference that carries an oracle.

    Args:
        admissions: Reference to oracle, see `admit`.
        sandbox: Where they run.

    Returns:
        Reference to a text; equal texts are equal behaviour, also through others in between.
    """
    oracles = {code: own.oracle for code, own in admissions.items() if own.oracle is not None}
    found = {
        code: _digest(f"script {oracle.answers[0].printed}")
        for code, oracle in oracles.items()
        if oracle.kind == "script"
    }
    by_arity: dict[int, list[str]] = defaultdict(list)
    for code, oracle in oracles.items():
        if oracle.kind == "function":
            by_arity[oracle.n_arguments].append(code)
    for n, codes in sorted(by_arity.items()):
        pairs = _candidates(codes, _shown(codes, n, sandbox))
        found |= _joined(codes, _alike(pairs, oracles, sandbox))
    return found


def common_inputs(n: int) -> list[str]:
    """Return the inputs that all functions of `n` parameters are given, always the same ones."""
    values = [value for pool in POOLS.values() for value in _spread(pool, _N_EACH)]
    if n == 1:
        return values
    chance = random.Random(n)
    alike = [
        ", ".join(chance.choice(pool) for _ in range(n))
        for pool in POOLS.values()
        for _ in range(_N_EACH)
    ]
    mixed = [", ".join(chance.choice(values) for _ in range(n)) for _ in range(_N_MIXED)]
    return [*alike, *mixed]


def _spread(pool: Sequence[str], n: int) -> list[str]:
    return [pool[(place * len(pool)) // n] for place in range(min(n, len(pool)))]


def _shown(codes: Sequence[str], n: int, sandbox: Sandbox) -> list[Shown]:
    """Call each function on the common inputs."""
    inputs = common_inputs(n)
    jobs = []
    for code in codes:
        tree = parse(code)
        entry = entry_function(tree) if tree is not None else None
        assert tree is not None and entry is not None  # or it would carry no oracle
        calls = tuple(f"{entry.name}({own})" for own in inputs)
        jobs.append(Job(definitions(tree), calls, "", REFERENCE_S, CALL_S))
    return [
        {
            number: Answer.of(result)
            for number, result in enumerate(outcome.calls)
            if result.finished and is_comparable(result.value)
        }
        for outcome in sandbox.run(jobs)
    ]


def _candidates(codes: Sequence[str], shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """List the pairs that agree wherever both end, and on enough inputs to mean something."""
    found = []
    for i, one in enumerate(shown):
        for j in range(i):
            shared = one.keys() & shown[j].keys()
            if len(shared) >= _MIN_SHARED and all(one[k].same(shown[j][k]) for k in shared):
                if len({repr(one[k]) for k in shared}) > 1:
                    found.append((codes[j], codes[i]))
    return found


def _alike(
    pairs: Sequence[tuple[str, str]], oracles: Mapping[str, Oracle], sandbox: Sandbox
) -> list[tuple[str, str]]:
    """Keep the pairs in which each passes for the other."""
    kept = list(pairs)
    for turn in (1, -1):
        kept_turned = [pair[::turn] for pair in kept]
        judged = behaves_like(
            [program for program, _ in kept_turned],
            [oracles[reference] for _, reference in kept_turned],
            sandbox,
        )
        kept = [pair for pair, own in zip(kept, judged, strict=True) if own.behaves]
    return kept


def _joined(codes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Give all that are linked the signature of their first."""
    parent = {code: code for code in codes}

    def root(code: str) -> str:
        while parent[code] != code:
            code = parent[code]
        return code

    for one, other in pairs:
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    return {code: _digest(f"function {root(code)}") for code in codes}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
