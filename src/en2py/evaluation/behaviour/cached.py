"""Oracles of a data set and their equivalence classes, cached with the data."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from en2py.console import counted
from en2py.data.cache import cached
from en2py.data.files import digest, file_digest
from en2py.evaluation.behaviour.equivalence import equivalence_classes
from en2py.evaluation.behaviour.references import OracleCandidate, build_oracles, count_reasons
from en2py.sandbox import Sandbox

log = logging.getLogger(__name__)

_CANDIDATES = TypeAdapter(list[OracleCandidate])
_PACKAGE = Path(__file__).parents[2]
_CODE = (
    *("evaluation/behaviour", "evaluation/behaviour/argument_values.toml"),
    *("evaluation/execution", "sandbox"),
)


@cache
def execution_digest() -> str:
    """Return a digest of the code that executes programs and compares their behaviour."""
    return digest({name: file_digest(_PACKAGE / name) for name in _CODE})


def execution_key(sandbox: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that results of execution depend on: settings of the sandbox, and the code."""
    limits = {name: sandbox[name] for name in ("timeout_s", "memory_mb")}
    return {"limits": limits, "running": execution_digest()}


def reference_oracles(
    codes: Sequence[str], *, sandbox: Mapping[str, Any], folder: Path
) -> dict[str, OracleCandidate]:
    """Build the oracle of each reference, or load it from the cache.

    Raises:
        UserError: If the sandbox is not available here and the oracles are not in the cache.
    """
    distinct = sorted(set(codes))
    key = {"references": distinct, "memory_mb": sandbox["memory_mb"], "running": execution_digest()}

    def build() -> list[dict[str, Any]]:
        log.info(
            f"running {counted(len(distinct), 'reference')} on generated inputs, once for this data"
        )
        with Sandbox(**sandbox) as one, Sandbox(**sandbox, hash_seed=1) as other:
            return [asdict(own) for own in build_oracles(distinct, one, other)]

    found = _CANDIDATES.validate_python(cached(folder, "oracles", key, build))
    return dict(zip(distinct, found, strict=True))


def reference_classes(
    codes: Sequence[str], *, sandbox: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Return the equivalence class of each program that has an oracle.

    Raises:
        UserError: If the sandbox is not available here and the classes are not in the cache.
    """
    candidates = reference_oracles(codes, sandbox=sandbox, folder=folder)
    key = {"references": sorted(candidates), **execution_key(sandbox)}

    def build() -> dict[str, str]:
        log.info("comparing the behaviour of the references, once for this data")
        with Sandbox(**sandbox) as one:
            return equivalence_classes(candidates, one)

    return cached(folder, "equivalence-classes", key, build)


def count_testable(candidates: Sequence[OracleCandidate]) -> dict[str, Any]:
    """Count the references that have an oracle, and the reasons why others have none."""

    def counts(kind: str) -> dict[str, int]:
        own = [candidate for candidate in candidates if candidate.kind == kind]
        return {"testable": sum(one.oracle is not None for one in own), "of": len(own)}

    return {
        "n": len(candidates),
        "functions": counts("function"),
        "scripts": counts("script"),
        "reasons": count_reasons(candidates),
    }
