"""Split an `assert` into the call for the sandbox and the comparison outside of it."""

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any


def _is(value: Any, other: Any) -> bool:
    """Compare as `is` does with None, True and False; identity does not cross processes."""
    return type(value) is type(other) and bool(value == other)


_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: _is,
    ast.IsNot: lambda value, other: not _is(value, other),
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_MAKERS: dict[str, Callable[..., Any]] = {
    maker.__name__: maker for maker in (set, frozenset, tuple, list, dict, float, int, str, complex)
}


@dataclass(frozen=True)
class Check:
    """An assert, split in two.

    Attributes:
        call: The expression that the sandbox evaluates.
        holds: Compares the value of the call; runs outside of the sandbox.
        expected: The test as text.
    """

    call: ast.expr
    holds: Callable[[Any], bool]
    expected: str


def split_test(statement: ast.Assert) -> Check:
    """Return the call and the comparison of an assert."""
    test = statement.test
    text = ast.unparse(test)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return Check(_truth(test.operand), lambda value: value is False, text)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _split_comparison(test.left, test.ops[0], test.comparators[0], text)
    if isinstance(test, ast.Call) and ast.unparse(test.func) in ("math.isclose", "isclose"):
        try:
            settings = {word.arg: constant(word.value) for word in test.keywords if word.arg}
            call, known = test.args
            close: Callable[[Any], bool] = partial(math.isclose, constant(known), **settings)
            return Check(call, lambda value: bool(close(value)), text)
        except (ValueError, TypeError):  # of another form
            pass
    return Check(_truth(test), lambda value: value is True, text)


def _split_comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> Check:
    kind = type(op)
    compare = _COMPARISONS[kind]
    if (known := _known(right)) is not None:
        (bound,) = known
        if (distance := _distance(left)) is not None:
            call, middle = distance
            return Check(call, lambda value: bool(compare(abs(value - middle), bound)), text)
        return Check(left, lambda value: bool(compare(value, bound)), text)
    if (known := _known(left)) is not None:
        (given,) = known
        return Check(right, lambda value: bool(compare(given, value)), text)
    whole = ast.Compare(left, [op], [right])
    return Check(_truth(whole), lambda value: value is True, text)


def _known(node: ast.expr) -> tuple[Any] | None:
    """Return the constant, wrapped because it may be None; None where it is no constant."""
    try:
        return (constant(node),)
    except ValueError:
        return None


def _distance(node: ast.expr) -> tuple[ast.expr, Any] | None:
    """Return call and constant of `abs(call - constant)`."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "abs" and len(node.args) == 1):
        return None
    inner = node.args[0]
    if not (isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub)):
        return None
    middle = _known(inner.right)
    return None if middle is None else (inner.left, middle[0])


def _truth(node: ast.expr) -> ast.expr:
    """Return `not not node`, a plain boolean even where the program redefines `bool`."""
    return ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), node))


def constant(node: ast.expr) -> Any:
    """Evaluate a literal, or one of the forms `set([1, 2])`, `float("inf")` and `1 / 3`.

    Raises:
        ValueError: If the expression is anything else.
    """
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        pass
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if (maker := _MAKERS.get(node.func.id)) is not None:
            try:
                return maker(*map(constant, node.args))
            except TypeError as error:
                raise ValueError(f"not a constant: {ast.unparse(node)}") from error
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = constant(node.left), constant(node.right)
        if isinstance(left, int | float) and isinstance(right, int | float) and right:
            return left / right
    raise ValueError(f"not a constant: {ast.unparse(node)}")
