"""Behaves like the reference: correctness where a dataset has no tests."""

from en2py.evaluation.behaviour.judge import Verdict, behaves_like
from en2py.evaluation.behaviour.oracle import Admission, Oracle, admit, count_reasons

__all__ = ["Admission", "Oracle", "Verdict", "admit", "behaves_like", "count_reasons"]
