"""Equivalence classes of references: programs that behave alike share a key.

Two functions are equivalent if each returns the other's answers on the other's inputs. Testing all
pairs would take hours, so only pairs that agree on a few common inputs are tested. Scripts are
equivalent if they print the same.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from en2py.data.duplicates import first_of_components
from en2py.data.files import digest
from en2py.data.syntax import parse
from en2py.evaluation.behaviour.argument_values import POOLS
from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.oracle import Answer, Oracle, definitions
from en2py.evaluation.behaviour.references import CALL_S, REFERENCE_S, OracleCandidate
from en2py.evaluation.execution.entry_point import entry_function
from en2py.evaluation.execution.jobs import run_jobs
from en2py.sandbox import Job, Sandbox
from en2py.sandbox.serialization import is_comparable

_N_EACH = 2  # evenly spaced values of each kind among the common inputs
_N_MIXED = 24  # inputs of several kinds, for functions of several parameters
_MIN_SHARED = 3  # inputs on which both functions return, with at least two different answers

Answers = Mapping[int, Answer]  # number of the input -> answer, where the call returned


def equivalence_classes(
    candidates: Mapping[str, OracleCandidate], sandbox: Sandbox
) -> dict[str, str]:
    """Return a key for each reference that has an oracle.

    Args:
        candidates: Reference to the result of `build_oracles`.
        sandbox: Executes the references.

    Returns:
        Reference to key; equal keys mean equal behaviour, also through intermediate references.
    """
    oracles = {code: own.oracle for code, own in candidates.items() if own.oracle is not None}
    keys = {
        code: digest(f"script {oracle.answers[0].printed}")
        for code, oracle in oracles.items()
        if oracle.kind == "script"
    }
    by_arity: dict[int, list[str]] = defaultdict(list)
    for code, oracle in oracles.items():
        if oracle.kind == "function":
            by_arity[oracle.n_arguments].append(code)
    for n, codes in sorted(by_arity.items()):
        answered = zip(codes, _answers(codes, n, sandbox), strict=True)
        pairs = [
            (one, other)
            for (one, first), (other, second) in itertools.combinations(answered, 2)
            if agree(second, first)
        ]
        keys |= _keys_of_components(codes, _equivalent_pairs(pairs, oracles, sandbox))
    return keys


def common_inputs(n: int) -> list[str]:
    """Return the inputs on which all functions of `n` parameters are called; always the same."""
    values = [
        pool[i * len(pool) // _N_EACH]
        for pool in POOLS.values()
        for i in range(min(_N_EACH, len(pool)))
    ]
    if n == 1:
        return values
    chance = random.Random(n)
    of_one_kind = [
        ", ".join(chance.choice(pool) for _ in range(n))
        for pool in POOLS.values()
        for _ in range(_N_EACH)
    ]
    mixed = [", ".join(chance.choice(values) for _ in range(n)) for _ in range(_N_MIXED)]
    return [*of_one_kind, *mixed]


def _answers(codes: Sequence[str], n: int, sandbox: Sandbox) -> list[Answers]:
    """Call each function on the common inputs."""
    inputs = common_inputs(n)
    jobs = []
    for code in codes:
        tree = parse(code)
        entry = entry_function(tree) if tree is not None else None
        assert tree is not None and entry is not None  # a function with an oracle has both
        calls = tuple(f"{entry.name}({own})" for own in inputs)
        jobs.append(Job(definitions(tree), calls, "", REFERENCE_S, CALL_S))
    return answers_to(jobs, sandbox)


def answers_to(jobs: Sequence[Job], sandbox: Sandbox) -> list[Answers]:
    """Run jobs and return the answers of their calls that can be compared."""
    return [
        {
            number: Answer.of(result)
            for number, result in enumerate(outcome.calls)
            if result.finished and is_comparable(result.value)
        }
        for outcome in run_jobs(sandbox, jobs)
    ]


def agree(one: Answers, other: Answers, share: float = 0.0) -> bool:
    """Return whether two programs agree on all inputs on which both return.

    These are at least three, and at least `share` of those on which the one that returns on fewer
    does; the answers to them are not always the same.
    """
    shared = one.keys() & other.keys()
    return (
        len(shared) >= max(_MIN_SHARED, share * min(len(one), len(other)))
        and all(one[number].same(other[number]) for number in shared)
        and len({repr(one[number]) for number in shared}) > 1
    )


def _equivalent_pairs(
    pairs: Sequence[tuple[str, str]], oracles: Mapping[str, Oracle], sandbox: Sandbox
) -> list[tuple[str, str]]:
    """Keep the pairs in which each program passes the other's oracle."""
    kept = list(pairs)
    for step in (1, -1):
        ordered = [pair[::step] for pair in kept]
        verdicts = behaves_like(
            [program for program, _ in ordered],
            [oracles[reference] for _, reference in ordered],
            sandbox,
        )
        kept = [pair for pair, own in zip(kept, verdicts, strict=True) if own.right]
    return kept


def _keys_of_components(codes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return for each program the key of the first one, by spelling, that it is linked to."""
    ordered = sorted(codes)
    place = {code: i for i, code in enumerate(ordered)}
    firsts = first_of_components(len(codes), [(place[a], place[b]) for a, b in pairs])
    return {code: digest(f"function {ordered[firsts[place[code]]]}") for code in codes}
