"""en2py: train Transformers from scratch that turn English descriptions into Python code."""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` at its first use, because importing torch takes seconds."""
    if name == "load":
        from en2py.training.build import load

        return load
    raise AttributeError(f"module 'en2py' has no attribute {name!r}")
