"""Compare config values with the type annotations of the arguments that receive them."""

import collections.abc
import functools
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from en2py.errors import UserError, did_you_mean

_CALLABLE: Any = collections.abc.Callable
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a text",
    bool: "true or false",
    types.NoneType: "null",
}


class ArgumentType:
    """A type annotation as a check of config values.

    Values are compared as JSON: a list fits a tuple and a text fits a path, but without any
    conversion of text to numbers, of fractions to whole numbers or of booleans to integers.

    Args:
        annotation: Any annotation; ranges as `Annotated[int, Field(ge=1)]`.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(_plain(self.annotation), config=_STRICT)

    def validate(self, key: str, value: Any) -> None:
        """Raise a UserError that names key, value and expectation if the value does not fit."""
        try:
            self._adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError:
            expected = _describe(self.annotation)
            near = did_you_mean(str(value), map(str, _literals(self.annotation)))
            hint = near if near.startswith("; did") else ""
            raise UserError(f"{key}={typed(value)}: expected {expected}{hint}") from None


@functools.cache
def argument_types(function: Callable[..., Any]) -> tuple[dict[str, ArgumentType | None], bool]:
    """Return the types of a function's or constructor's arguments.

    Returns:
        The type of each argument, None without annotation; and whether it accepts any other
        keyword.
    """
    named = inspect.signature(function).parameters.values()
    try:
        constructor = function.__init__ if inspect.isclass(function) else function
        hints = typing.get_type_hints(constructor, include_extras=True)
    except (NameError, TypeError):  # of another package, which imports its types for mypy alone
        hints = {}
    known = {
        parameter.name: ArgumentType(hints[parameter.name]) if parameter.name in hints else None
        for parameter in named
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    return known, any(parameter.kind is parameter.VAR_KEYWORD for parameter in named)


def typed(value: Any) -> str:
    """Write a value as on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(typed(item) for item in value)}]"
    return str(value)


def _plain(annotation: Any) -> Any:
    """Replace what no YAML file holds: objects by sections, abstract collections by lists."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_plain(args[0]), *args[1:])]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_plain(arg) for arg in args)]  # noqa: UP007
    if annotation is Any or origin is Literal or annotation in _WORDS:
        return annotation
    if origin is tuple:
        return tuple[tuple(arg if arg is ... else _plain(arg) for arg in args)]  # type: ignore[misc]
    kind = origin or annotation
    if not inspect.isclass(kind) or kind is _CALLABLE:
        return dict[str, Any]
    if issubclass(kind, Mapping):
        return dict[str, _plain(args[1])] if args else dict[str, Any]  # type: ignore[misc]
    if issubclass(kind, collections.abc.Iterable) and (args or kind in (list, tuple)):
        return list[_plain(args[0])] if args else list[Any]  # type: ignore[misc]
    return dict[str, Any]  # an object, which a section with a `_target_` describes


def _describe(annotation: Any) -> str:
    """Return what a type expects in plain words."""
    *others, last = dict.fromkeys(_alternatives(annotation))
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(annotation: Any) -> Iterator[str]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield _range(args[0], args[1:])
    elif origin in (typing.Union, types.UnionType):
        for arg in args:
            yield from _alternatives(arg)
    elif origin is Literal:
        yield f"one of {', '.join(map(str, args))}" if len(args) > 1 else str(args[0])
    elif annotation in _WORDS:
        yield _WORDS[annotation]
    elif _plain(annotation) is not Any:
        kind = get_origin(_plain(annotation)) or _plain(annotation)
        if kind is dict:
            yield "a section of keys"
        else:
            size = f" of {len(args)}" if kind is tuple and ... not in args else ""
            of = f", each {_describe(args[0])}" if args else ""
            yield f"a list{size} in brackets{of}"


def _range(kind: Any, constraints: tuple[Any, ...]) -> str:
    limits: dict[str, Any] = {}
    for constraint in constraints:  # a `Field` holds several
        for limit in getattr(constraint, "metadata", [constraint]):
            limits |= {
                n: v for n in ("gt", "ge", "lt", "le") if (v := getattr(limit, n, None)) is not None
            }
    if kind is int:
        low = limits.get("ge", limits["gt"] + 1 if "gt" in limits else None)
        high = limits.get("le", limits["lt"] - 1 if "lt" in limits else None)
        return f"a whole number from {low} {'on' if high is None else f'to {high}'}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return "a number " + " and ".join(f"{words[n]} {v:g}" for n, v in limits.items())


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (typing.Union, types.UnionType):
        for arg in get_args(annotation):
            yield from _literals(arg)
