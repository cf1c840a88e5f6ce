"""Argument values to call functions with, and the evidence for the kind of a parameter."""

import ast
import re
import tomllib
from importlib.resources import files

_DATA = tomllib.loads(
    files("en2py.evaluation.behaviour").joinpath("argument_values.toml").read_text(encoding="utf-8")
)
POOLS: dict[str, list[str]] = _DATA["values"]
_WORDS = {kind: frozenset(words.split()) for kind, words in _DATA["names"].items()}
_ANNOTATIONS: dict[str, str] = _DATA["annotations"]
_METHODS = {method: kind for kind, own in _DATA["methods"].items() for method in own.split()}
_NUMBERS = ("int", "float")
# Values of these kinds serve no better than texts or numbers do, unless there is evidence for them.
_SPECIAL = ("character", "digits", "bool", "function", "none")


def evidence(parameter: ast.arg, body: ast.AST) -> dict[str, float]:
    """Return a weight for each kind of argument, from annotation, name and uses of a parameter."""
    weights = {kind: -rank / 100 - 1.0 * (kind in _SPECIAL) for rank, kind in enumerate(POOLS)}
    if parameter.annotation is not None:
        written = ast.unparse(parameter.annotation).removeprefix("typing.").strip("'\"")
        kind = _ANNOTATIONS.get(written) or _ANNOTATIONS.get(written.partition("[")[0], "")
        if kind:
            weights[kind] += 6
    words = _words(parameter.arg)
    for kind, known in _WORDS.items():
        weights[kind] += 1.5 * any(word in known for word in words)
        weights[kind] += 1.0 * (parameter.arg.lower() in known)
    if words & {"list", "lst", "arr", "array", "string", "str", "dict", "tuple", "set", "matrix"}:
        weights["int"] -= 2
    for node in ast.walk(body):
        for kind, change in _uses(parameter.arg, node):
            weights[kind] += change
    return weights


def _words(name: str) -> set[str]:
    parts = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().split("_")
    return {part for part in [*parts, *(part.rstrip("0123456789") for part in parts)] if part}


def _uses(name: str, node: ast.AST) -> list[tuple[str, float]]:
    """Return the changes of weights by one node of the function's body."""

    def is_it(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    not_a_number = [(kind, -3.0) for kind in _NUMBERS]
    match node:
        case ast.Attribute() if is_it(node.value):
            kind = _METHODS.get(node.attr)
            return [(kind, 3), *not_a_number] if kind else not_a_number
        case ast.Call(func=ast.Name(id=function)):
            takes_it = any(map(is_it, node.args))
            if function == "range" and takes_it:
                return [("int", 3)]
            if function in ("len", "sorted", "sum", "max", "min") and takes_it:
                return [*not_a_number, ("list", 0.5), ("list", 0.5 * (function == "sum"))]
            if function == "int" and takes_it:
                return [("digits", 1.5)]
            return [("function", 4)] if function == name else []
        case ast.Subscript() if is_it(node.value):
            return [*not_a_number, ("list", 0.5)]
        case ast.Subscript(value=ast.Subscript(value=inner)) if is_it(inner):
            return [("matrix", 1)]
        case ast.For() | ast.comprehension() if is_it(node.iter):
            return not_a_number
        case ast.BinOp(op=ast.Mod() | ast.FloorDiv() | ast.Div() | ast.Sub() | ast.Pow()):
            return [("int", 1), ("float", 0.5)] if is_it(node.left) or is_it(node.right) else []
    return []


def constants(tree: ast.AST) -> dict[str, list[str]]:
    """Return a program's constants and their neighbours, which test its thresholds."""
    found: dict[str, list[str]] = {"int": [], "float": [], "text": [], "character": []}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
            continue
        if isinstance(node.value, int) and abs(node.value) <= 10_000:
            found["int"] += [str(node.value + step) for step in (0, -1, 1)]
        elif isinstance(node.value, float) and abs(node.value) <= 10_000:
            found["float"] += [repr(node.value + step) for step in (0.0, -0.5, 0.5)]
        elif isinstance(node.value, str) and 0 < len(node.value) <= 12:
            found["text" if len(node.value) > 1 else "character"].append(repr(node.value))
    return {kind: list(dict.fromkeys(values))[:18] for kind, values in found.items()}
