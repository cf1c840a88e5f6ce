"""What a `_target_` takes, read from its source text: importing it would cost seconds of torch.

A config section with a `_target_` is a call, so the annotations of what it calls say which keys it
may have and of which type each value must be. Nothing has to be declared a second time.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from en2py.config.instantiate import _definitions, _find, _module_of

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
