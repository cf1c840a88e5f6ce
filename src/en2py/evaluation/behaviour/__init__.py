"""Correctness by behaviour, for pairs without tests: a program is compared with its reference."""

from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.equivalence import equivalence_classes
from en2py.evaluation.behaviour.oracle import Oracle
from en2py.evaluation.behaviour.references import OracleCandidate, build_oracles, count_reasons

__all__ = [
    "Oracle",
    "OracleCandidate",
    "behaves_like",
    "build_oracles",
    "count_reasons",
    "equivalence_classes",
]
