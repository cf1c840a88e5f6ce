"""Isolated execution of generated code, which is executed nowhere else. See docs/sandbox.md."""

from en2py.sandbox.pool import Sandbox
from en2py.sandbox.protocol import Job, Outcome, Result

__all__ = ["Job", "Outcome", "Result", "Sandbox"]
