"""Instantiate config sections; only listed code may be called.

A checkpoint brings a config that an unknown author may have written.
"""

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import instantiate

from en2py.errors import UserError, nearest

# Modules whose functions and classes only build or compute.
ALLOWED = (
    "en2py.training.callbacks.",
    "en2py.data.augmentation.",
    "en2py.data.cleaning.",
    "en2py.data.neighbours.",
    "en2py.data.sources.",
    "en2py.data.splits.",
    "en2py.data.tokenizers.",
    "en2py.decoding.beam_search.",
    "en2py.decoding.greedy.",
    "en2py.decoding.mbr.",
    "en2py.decoding.sampling.",
    "en2py.decoding.votes.",
    "en2py.models.embeddings.",
    "en2py.evaluation.baselines.",
    "en2py.training.losses.",
    "en2py.models.transformer.",
    "en2py.training.optimizers.",
    "en2py.training.schedulers.",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
    "pytorch_lightning.plugins.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
    "torch.optim.",
)

_packages: list[str] = []  # of the user, by `allow_packages`


def allow_packages(names: Sequence[str] | None) -> None:
    """Let the functions and classes of further packages run, from now on in this process.

    Only a setting of the user may call this, never the config of a checkpoint.

    Raises:
        UserError: If a name is none of a package, or of Python's standard library.
    """
    if not isinstance(names or [], Sequence) or isinstance(names, str):  # as typed for a search
        raise UserError(f"allowed_packages={names}: expected a list in brackets")
    for name in map(str, names or ()):
        if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", name):
            raise UserError(f"allowed_packages={name}: not the name of a package")
        if name.partition(".")[0] in sys.stdlib_module_names:
            raise UserError(f"allowed_packages={name}: a module of Python itself may not run")
        if f"{name}." not in _packages:
            _packages.append(f"{name}.")


def is_own(target: str) -> bool:
    """Return whether a target is in a package that the user allows."""
    return target.startswith(tuple(_packages))


def _allowed() -> tuple[str, ...]:
    return (*ALLOWED, *_packages)


def make(section: Any) -> Any:
    """Instantiate a config section; `_convert_` keeps Hydra's containers out of the objects."""
    check_allowed(section)
    return instantiate(section, _convert_="all")


def check_allowed(config: Mapping[str, Any], at: str = "") -> None:
    """Refuse a config that would call a function or class that is not listed.

    Raises:
        UserError: If a `_target_` is outside of the allowed modules, private, or imported there.
    """
    for key, target in _targets(config, at):
        if not (isinstance(target, str) and target.startswith(_allowed())):
            raise UserError(f"{key}={target}: {_what_may_run(target)}")
        try:
            definition(target)
        except UserError as error:
            raise UserError(f"{key}={target}: {error}") from None


def _what_may_run(target: Any) -> str:
    package = str(target).partition(".")[0]
    known = {part.partition(".")[0] for part in ALLOWED} | sys.stdlib_module_names
    if package in known or not package.isidentifier():
        return "only " + ", ".join(f"{allowed}*" for allowed in _allowed()) + " may run"
    remedy = f"if you trust it, add 'allowed_packages=[{package}]'"
    return f"the package {package} may not run; {remedy}"


@functools.cache
def definition(target: str) -> Callable[..., Any]:
    """Import the function or class that an allowed target names.

    Hydra itself follows any attribute, so `package.module.os.system` would be found too.

    Raises:
        UserError: If there is none, or if it is private or defined in a module not listed.
    """
    module, _, name = target.rpartition(".")
    if not target.startswith(_allowed()) or any(part.startswith("_") for part in target.split(".")):
        raise UserError("private names and modules that are not listed may not run")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        hint = "; install it, or add its folder to PYTHONPATH" if is_own(target) else ""
        raise UserError(f"there is no module {module}, so nothing may run{hint}") from None
    value = getattr(found, name, None)
    if value is None:
        known = [known for known in dir(found) if not known.startswith("_")]
        raise UserError(f"{module} has no {name}{nearest(name, known)}")
    home = f"{getattr(value, '__module__', '')}."
    is_code = inspect.isfunction(value) or inspect.isclass(value)
    if not (is_code and home.startswith((*_allowed(), "pytorch_lightning.trainer."))):
        raise UserError(f"{name} is not a function or class that is defined there; it may not run")
    code: Callable[..., Any] = value
    return code


def _targets(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each `_target_` of nested sections and lists, with its dotted key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            at = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                yield at, inner
            else:
                yield from _targets(inner, at)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _targets(inner, key)


def class_of(section: Any) -> str:
    """Return the name of what a section calls, without its module."""
    return str((section or {}).get("_target_", "")).rpartition(".")[2]
