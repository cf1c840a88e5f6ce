"""Oracles of a data set's references: made once, kept with the data, with their error bars."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from en2py.data.cache import cached
from en2py.data.files import digest, file_digest
from en2py.evaluation.behaviour import (
    Oracle,
    OracleCandidate,
    build_oracles,
    count_reasons,
    signatures,
)
from en2py.evaluation.behaviour.mutation_testing import measure
from en2py.sandbox import Sandbox

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[2]
_CODE = ("evaluation/behaviour", "evaluation/execution", "sandbox")
_SEED = 0  # draws mutants and strangers


@cache
def execution_digest() -> str:
    """Return a digest of the code that runs programs and judges what they did."""
    return digest({name: file_digest(_PACKAGE / name) for name in _CODE})


def limits(sandbox: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a sandbox that can change what a program does in it."""
    return {name: sandbox[name] for name in ("timeout_s", "memory_mb")}


def reference_oracles(
    codes: Sequence[str], *, sandbox: Mapping[str, Any], folder: Path
) -> dict[str, OracleCandidate]:
    """Return the oracle of each reference, or why it has none; from the cache if they are there.

    Args:
        codes: The references.
        sandbox: Settings of the sandbox.
        folder: The cache.

    Raises:
        UserError: If the sandbox is refused here and the oracles are not in the cache.
    """
    distinct = sorted(set(codes))
    key = {"references": distinct, "memory_mb": sandbox["memory_mb"], "running": execution_digest()}

    def build() -> dict[str, Any]:
        log.info(f"watching {len(distinct):,} references, once for this data")
        with Sandbox(**sandbox) as one, Sandbox(**sandbox, hash_seed=1) as other:
            return {"found": [own.to_dict() for own in build_oracles(distinct, one, other)]}

    record, _ = cached(folder, "oracles", key, build)
    found = map(OracleCandidate.from_dict, record["found"])
    return dict(zip(distinct, found, strict=True))


def oracle_quality(
    admissions: Mapping[str, OracleCandidate], *, sandbox: Mapping[str, Any], folder: Path
) -> dict[str, int]:
    """Return the error bars of function oracles: mutants killed, strangers accepted.

    Args:
        admissions: Reference to oracle.
        sandbox: Settings of the sandbox.
        folder: The cache, where they are kept beside the oracles.

    Raises:
        UserError: If the sandbox is refused here and they are not in the cache.
    """
    oracles = _function_oracles(admissions)
    key = {"references": sorted(oracles), "limits": limits(sandbox), "running": execution_digest()}

    def build() -> dict[str, Any]:
        log.info(f"measuring {len(oracles):,} oracles with mutants and strangers, once")
        with Sandbox(**sandbox) as one:
            found = measure(list(oracles), list(oracles.values()), one, _SEED)
        names = ("n_mutants", "n_killed", "n_unrelated", "n_accepted")
        return {name: getattr(found, name) for name in names}

    record, _ = cached(folder, "oracle-quality", key, build)
    return record


def reference_classes(
    codes: Sequence[str], *, sandbox: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Return what programs do, those that can be watched: equal texts are equal behaviour.

    Args:
        codes: The programs.
        sandbox: Settings of the sandbox.
        folder: The cache.

    Raises:
        UserError: If the sandbox is refused here and they are not in the cache.
    """
    admissions = reference_oracles(codes, sandbox=sandbox, folder=folder)
    key = {
        "references": sorted(admissions),
        "limits": limits(sandbox),
        "running": execution_digest(),
    }

    def build() -> dict[str, Any]:
        log.info("comparing what the references do, once for this data")
        with Sandbox(**sandbox) as one:
            return {"found": signatures(admissions, one)}

    record, _ = cached(folder, "signatures", key, build)
    found: dict[str, str] = record["found"]
    return found


def count_testable(admissions: Sequence[OracleCandidate]) -> dict[str, Any]:
    """Count how many references can be tested, and why the others cannot."""
    functions = [own for own in admissions if own.kind == "function"]
    scripts = [own for own in admissions if own.kind == "script"]
    return {
        "n": len(admissions),
        "functions": {"testable": _testable(functions), "of": len(functions)},
        "scripts": {"testable": _testable(scripts), "of": len(scripts)},
        "reasons": count_reasons(admissions),
    }


def _testable(admissions: Sequence[OracleCandidate]) -> int:
    return sum(own.oracle is not None for own in admissions)


def _function_oracles(admissions: Mapping[str, OracleCandidate]) -> dict[str, Oracle]:
    return {
        code: own.oracle
        for code, own in admissions.items()
        if own.oracle is not None and own.kind == "function"
    }
