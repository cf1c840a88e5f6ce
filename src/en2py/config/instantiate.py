"""Which code a config may call: a checkpoint brings a config that a stranger may have written."""

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from en2py.errors import UserError, did_you_mean

# A `_target_` is code that will run, so it lies in a room whose parts only build or compute.
ALLOWED = (
    "en2py.training.callbacks.",
    "en2py.data.augmentation.",
    "en2py.data.cleaning.",
    "en2py.data.sources.",
    "en2py.data.splits.",
    "en2py.data.tokenizers.",
    "en2py.decoding.beam_search.",
    "en2py.decoding.greedy.",
    "en2py.decoding.sampling.",
    "en2py.models.embeddings.",
    "en2py.evaluation.baselines.",
    "en2py.training.losses.",
    "en2py.models.transformer.",
    "en2py.training.schedulers.",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.plugins.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
    "torch.optim.",
)


def check_targets(config: Mapping[str, Any]) -> None:
    """Refuse a config that would call something other than this project's parts.

    Args:
        config: Plain containers; a checkpoint's stored config as well as a new one.

    Raises:
        UserError: If a `_target_` lies outside of the allowed packages.
    """
    for key, target in _targets(config):
        if not (isinstance(target, str) and target.startswith(ALLOWED)):
            allowed = ", ".join(f"{package}*" for package in ALLOWED)
            raise UserError(f"{key}={target}: only {allowed} may run")
        try:
            ours = is_public_definition(target)
        except UserError as error:
            raise UserError(f"{key}={target}: {error}") from None
        if not ours:
            raise UserError(f"{key}={target}: this name comes from elsewhere, and may not run")


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


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def is_public_definition(target: str) -> bool:
    """Tell whether a path names a public function or class of its own package.

    Hydra follows any attribute, so `package.module.os.system` would be found too.

    Args:
        target: Its full public path.

    Raises:
        UserError: If there is no such module or name.
    """
    module, name = _module_of(target)
    if not name.isidentifier() or any(part.startswith("_") for part in target.split(".")):
        return False
    found = _find(module, name)
    return found is not None and isinstance(found[1], ast.FunctionDef | ast.ClassDef)


def _file(module: str) -> Path | None:
    """Return the source file of a module without importing it or a package above it."""
    root, *rest = module.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    if not rest:
        return path
    place = path.parent.joinpath(*rest)
    for candidate in (place.with_name(place.name + ".py"), place / "__init__.py"):
        if path.name == "__init__.py" and candidate.is_file():
            return candidate
    return None


def _module_of(target: str) -> tuple[str, str]:
    """Split a path into its longest module and the names inside of it."""
    parts = target.split(".")
    for cut in range(len(parts), 0, -1):
        if _file(".".join(parts[:cut])) is not None:
            return ".".join(parts[:cut]), ".".join(parts[cut:])
    raise UserError(f"{target}: there is no module {parts[0]}")


@functools.cache
def _definitions(module: str) -> dict[str, Definition | ast.ImportFrom] | None:
    """Return what the top level of a module defines and imports by name."""
    path = _file(module)
    if path is None or path.suffix != ".py":
        return None
    found: dict[str, Definition | ast.ImportFrom] = {}
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: node for alias in node.names})
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update({t.id: node for t in targets if isinstance(t, ast.Name)})
    return found


def _statements(tree: ast.Module | ast.If | ast.Try) -> Iterator[ast.stmt]:
    for node in tree.body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node)


def _find(module: str, name: str) -> tuple[str, Definition] | None:
    """Follow a name through the imports of its package to where it is defined."""
    definitions = _definitions(module)
    if definitions is None:
        return None
    node = definitions.get(name)
    if node is None:
        path = _file(module)
        below = path.parent.glob("*") if path and path.name == "__init__.py" else ()
        names = [*definitions, *(p.stem for p in below)]
        known = [known for known in names if not known.startswith("_")]
        raise UserError(f"{module} has no {name}{did_you_mean(name, known)}")
    if not isinstance(node, ast.ImportFrom):
        return module, node
    original = next(a.name for a in node.names if (a.asname or a.name) == name)
    path = _file(module)
    package = module.split(".") if path and path.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1] if node.level else []
    source = ".".join([*base, *([node.module] if node.module else [])])
    if source.split(".")[0] != module.split(".")[0]:
        return None  # another package's; its source is not asked
    return _find(source, original)


def make(section: Any) -> Any:
    """Instantiate a config section; `_convert_` keeps Hydra's containers out of our objects."""
    check_targets(section)  # a stranger's checkpoint brings its own config
    return instantiate(section, _convert_="all")
