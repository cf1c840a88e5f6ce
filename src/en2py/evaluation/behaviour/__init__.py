"""Behaves like the reference: correctness where a dataset has no tests."""

from en2py.evaluation.behaviour.comparison import Verdict, behaves_like, problems_of_scripts
from en2py.evaluation.behaviour.equivalence import signatures
from en2py.evaluation.behaviour.oracle import Oracle
from en2py.evaluation.behaviour.references import Admission, admit, count_reasons

__all__ = [
    "Admission",
    "Oracle",
    "Verdict",
    "admit",
    "behaves_like",
    "count_reasons",
    "problems_of_scripts",
    "signatures",
]
