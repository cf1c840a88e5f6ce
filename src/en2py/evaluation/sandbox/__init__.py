"""A sandbox: generated code runs in it and nowhere else. See docs/sandbox.md."""

from en2py.evaluation.sandbox.outcomes import Job, Outcome, Result
from en2py.evaluation.sandbox.parent import Sandbox

__all__ = ["Job", "Outcome", "Result", "Sandbox"]
