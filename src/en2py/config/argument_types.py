"""Compare config values with the type annotations of the arguments that receive them."""

import functools
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from en2py.config.composition import typed
from en2py.errors import UserError, did_you_mean, nearest

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_SCALARS = (Any, int, float, str, bool, Path, types.NoneType)
_WORDS = {  # of pydantic's messages, which are about JSON
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "Input should be above": "expected a number above",
    "Input should be below": "expected a number below",
    "Input should be at ": "expected a number at ",
    "Input should be": "expected",
    "Tuple should have": "expected",
    "List should have at least 1 item after validation, not 0": "expected at least one value",
    "a valid integer": "a whole number",
    "a valid array": "a list in brackets",
    "an object": "a section of keys",
    "a valid boolean": "true or false",
    "a valid string": "a text",
    "a valid number": "a number",
    "String should have at least 1 character": "expected a text that is not empty",
    "Field required": "expected more items",
    "Value error, ": "expected ",  # of a validator of ours
}


class ArgumentType:
    """A type annotation as a check of config values.

    Values are compared as JSON: a list fits a tuple and a text fits a path, but text is not
    converted to numbers, fractions not to whole numbers, and booleans are no integers.

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
        except ValidationError as error:
            text = " or ".join(dict.fromkeys(found["msg"] for found in error.errors()))
            for words, plain in _WORDS.items():
                text = text.replace(words, plain)
            hint = nearest(str(value), re.findall("'(.*?)'", text))
            text = text.replace(" or expected ", " or ")
            if type(None) in get_args(self.annotation):
                text += ", or null"
            wrong = {found["loc"][0] for found in error.errors() if found["loc"]}
            if isinstance(value, Mapping) and len(wrong & {*value}) == len(wrong) == 1:
                key, value = f"{key}.{(name := wrong.pop())}", value[name]
            raise UserError(f"{key}={typed(value)}: {text}{hint}") from None

    def with_floats(self, value: Any) -> Any:
        """Return a value with each whole number as a float where a float is expected.

        A value that does not fit is returned as it is.
        """
        try:
            return _with_floats(value, self._adapter.validate_json(json.dumps(value), strict=True))
        except ValidationError:
            return value


@functools.cache
def argument_types(function: Callable[..., Any]) -> tuple[dict[str, ArgumentType | None], bool]:
    """Return the types of a function's or constructor's arguments, those of a `TypedDict` included.

    Returns:
        The type of each argument, None without annotation; and whether it accepts any other
        keyword.
    """
    named = inspect.signature(function).parameters.values()
    try:
        constructor = function.__init__ if inspect.isclass(function) else function
        hints = typing.get_type_hints(constructor, include_extras=True)
    except (NameError, TypeError):  # another package that imports types for its type checker alone
        hints = {}
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    known = {
        p.name: ArgumentType(hints[p.name]) if p.name in hints else None
        for p in named
        if p.kind not in variadic
    }
    for p in (p for p in named if p.kind is inspect.Parameter.VAR_KEYWORD):
        if get_origin(hints.get(p.name)) is not typing.Unpack:
            return known, True
        keywords = typing.get_type_hints(get_args(hints[p.name])[0], include_extras=True)
        known |= {name: ArgumentType(hint) for name, hint in keywords.items()}
    return known, False


@functools.cache
def positional_arguments(function: Callable[..., Any]) -> tuple[list[str], bool]:
    """Return the names of the positional arguments, and whether any number of them is accepted."""
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in positional]
    return names, any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


@functools.cache
def required_arguments(function: Callable[..., Any]) -> frozenset[str]:
    """Return the arguments without a default, those of a `TypedDict` included."""
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = set[str]()
    for p in inspect.signature(function).parameters.values():
        if p.kind not in variadic and p.default is inspect.Parameter.empty:
            found.add(p.name)
        elif get_origin(p.annotation) is typing.Unpack:
            found |= get_args(p.annotation)[0].__required_keys__
    return frozenset(found)


def check_settings(function: Callable[..., Any], at: str, settings: Mapping[str, Any]) -> None:
    """Compare settings with the arguments of a function or constructor of ours.

    Raises:
        UserError: With key, value and expectation.
    """
    known, _ = argument_types(function)
    for name, value in settings.items():
        if name == "_target_":
            continue
        if (expected := known.get(name)) is None:
            raise UserError(f"{at}.{name}: no such key{did_you_mean(name, known)}")
        expected.validate(f"{at}.{name}", value)


def _with_floats(value: Any, expected: Any) -> Any:
    if isinstance(value, list):
        return [_with_floats(*items) for items in zip(value, expected, strict=True)]
    if isinstance(value, Mapping):
        return {key: _with_floats(item, expected[key]) for key, item in value.items()}
    return float(value) if type(value) is int and isinstance(expected, float) else value


def _plain(annotation: Any) -> Any:
    """Replace what a config cannot hold: objects by sections, abstract collections by lists."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal or annotation in _SCALARS:
        return annotation
    if origin is Annotated:
        return Annotated[(_plain(args[0]), *args[1:])]
    inner = tuple(arg if arg is ... else _plain(arg) for arg in args if not isinstance(arg, list))
    if origin in (typing.Union, types.UnionType):
        return typing.Union[inner]  # noqa: UP007
    kind: Any = origin or annotation
    if kind in (tuple, list) and not args:
        return list[Any]
    if kind is tuple:
        return tuple[inner]  # type: ignore[valid-type]
    if args and inspect.isclass(kind) and issubclass(kind, Mapping):
        return dict[str, inner[1]]  # type: ignore[valid-type]
    if args and inspect.isclass(kind) and issubclass(kind, Iterable):
        return list[inner[0]]  # type: ignore[valid-type]
    return dict[str, Any]  # a mapping, or an object, which a section with a `_target_` describes
