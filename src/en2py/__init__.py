"""en2py: train Transformers from scratch that turn English descriptions into Python code."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from en2py.api import TrainedRun, compose, train
    from en2py.errors import Fault, UserError
    from en2py.training.build import load

    __version__: str

__all__ = ["Fault", "TrainedRun", "UserError", "__version__", "compose", "load", "train"]

_MODULES = {
    "Fault": "errors",
    "TrainedRun": "api",
    "UserError": "errors",
    "compose": "api",
    "load": "training.build",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, because importing torch takes seconds."""
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("en2py")
    if name in _MODULES:
        return getattr(importlib.import_module(f"en2py.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'en2py' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return __all__
