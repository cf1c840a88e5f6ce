"""What a `_target_` takes, read from its source text: importing it would cost seconds of torch.

A config section with a `_target_` is a call, so the annotations of what it calls say which keys it
may have and of which type each value must be. Nothing has to be declared a second time.
"""

import ast
import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from en2py.errors import UserError, did_you_mean

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "None": "null",
}
_SCALARS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float),
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "None": lambda value: value is None,
    "Path": lambda value: isinstance(value, str),
}
_LISTS = ("list", "List", "tuple", "Tuple", "Sequence", "Iterable", "Collection")
_MAPPINGS = ("dict", "Dict", "Mapping")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Annotation:
    """A type as it stands in a source file.

    Attributes:
        node: Its syntax.
        module: Dotted name of the module that it stands in, to look its names up there.
    """

    node: ast.expr
    module: str

    def accepts(self, value: Any) -> bool:
        """Return whether a value of a config, plain containers, fits this type."""
        return _fits(value, self.node, self.module)

    def words(self) -> str:
        """Return what this type expects, for a person."""
        return " or ".join(dict.fromkeys(_words(self.node, self.module)))


def parameters(target: str) -> dict[str, Annotation | None] | None:
    """Read what a function takes, or the constructor of a class.

    Args:
        target: Its full public path, `en2py.training.losses.CrossEntropy`.

    Returns:
        The annotation of each parameter, None for one without; None in all where the source
        cannot be read or takes any keyword.

    Raises:
        UserError: If there is no such module or name.
    """
    module, names = _module_of(target)
    name, _, attribute = names.partition(".")
    found = _find(module, name) if name else None
    if found is None or attribute:
        return None
    module, definition = found
    if isinstance(definition, ast.ClassDef):
        inits = [n for n in definition.body if isinstance(n, ast.FunctionDef)]
        inits = [n for n in inits if n.name == "__init__"]
        if not inits:
            return None
        definition = inits[0]
    if not isinstance(definition, ast.FunctionDef) or definition.args.kwarg is not None:
        return None
    args = definition.args
    return {
        arg.arg: Annotation(arg.annotation, module) if arg.annotation is not None else None
        for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)
        if arg.arg != "self"
    }


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


def _is_alias(name: str, module: str) -> tuple[str, ast.expr] | None:
    """Return what a name stands for where it is a type alias of ours."""
    if module.split(".")[0] != "en2py" or name not in (_definitions(module) or {}):
        return None
    found = _find(module, name)
    if found is None or not isinstance(found[1], ast.Assign | ast.AnnAssign):
        return None
    return (found[0], found[1].value) if found[1].value is not None else None


def _parts(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """Return the name and the arguments of `Name[arguments]`."""
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _parts(node.value)[0], inner
    if isinstance(node, ast.Attribute):
        return node.attr, []
    if isinstance(node, ast.Constant):
        return str(node.value), []
    return (node.id if isinstance(node, ast.Name) else "Any"), []


def _alternatives(node: ast.expr, module: str) -> list[tuple[ast.expr, str]]:
    """Take unions, strings and aliases apart."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _alternatives(ast.parse(node.value, mode="eval").body, module)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _alternatives(node.left, module) + _alternatives(node.right, module)
    name, inner = _parts(node)
    if name == "Union":
        return [found for part in inner for found in _alternatives(part, module)]
    if name == "Optional":
        return [*_alternatives(inner[0], module), (ast.Constant(None), module)]
    if isinstance(node, ast.Name) and (alias := _is_alias(node.id, module)):
        return _alternatives(alias[1], alias[0])
    return [(node, module)]


def _fits(value: Any, node: ast.expr, module: str) -> bool:
    if isinstance(value, dict) and "_target_" in value:
        return True  # an object in the making
    return any(_fits_one(value, *part) for part in _alternatives(node, module))


def _fits_one(value: Any, node: ast.expr, module: str) -> bool:
    name, inner = _parts(node)
    if name in _SCALARS:
        return _SCALARS[name](value)
    if name == "Literal":
        return any(isinstance(c, ast.Constant) and c.value == value for c in inner)
    if name in _LISTS:
        if not isinstance(value, list):
            return False
        if name in ("tuple", "Tuple") and inner and not isinstance(inner[-1], ast.Constant):
            pairs = list(zip(value, inner, strict=False))
            return len(value) == len(inner) and all(_fits(v, i, module) for v, i in pairs)
        return not inner or all(_fits(v, inner[0], module) for v in value)
    if name in _MAPPINGS:
        if not isinstance(value, dict):
            return False
        return len(inner) < 2 or all(_fits(v, inner[1], module) for v in value.values())
    if name in ("Any", "object") or name.startswith("_"):
        return True  # a private alias of another package
    return isinstance(value, dict | list)  # a class: no plain value is one


def _words(node: ast.expr, module: str) -> Iterator[str]:
    for part, _ in _alternatives(node, module):
        name, inner = _parts(part)
        if name in WORDS:
            yield WORDS[name]
        elif name == "Literal":
            yield f"one of {', '.join(str(c.value) for c in inner if isinstance(c, ast.Constant))}"
        elif name in ("tuple", "Tuple") and inner and not isinstance(inner[-1], ast.Constant):
            yield f"a list of {len(inner)} in brackets"
        elif name in _LISTS:
            yield "a list in brackets"
        elif name in _MAPPINGS:
            yield "a section of keys"
