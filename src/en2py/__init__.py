"""en2py: train Transformers from scratch that turn English descriptions into Python code."""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` when it is asked for: torch takes seconds, and most modules do without."""
    if name == "load":
        from en2py.training.build import load

        return load
    raise AttributeError(f"module 'en2py' has no attribute {name!r}")
