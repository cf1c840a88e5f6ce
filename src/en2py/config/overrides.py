"""Write overrides that Hydra reads as they were meant: texts as typed, values of Python."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from en2py.config.composition import READ, SWEPT, WRITTEN, groups_of, options_of, own_folders, typed
from en2py.errors import UserError, did_you_mean

# Values of these keys, by their last part, and names of fields are passed on as typed: Hydra's
# grammar would refuse or change them.
TEXTS = ("prompt", "study", "baseline", "notes")
PATHS = (*READ, *WRITTEN, "pretrained")  # the last is a folder, whose files init_from and path name
_VALUES = ("null", "true", "false", "nan", "inf")  # words that are no text in the grammar


def _is_literal(name: str) -> bool:
    """Return whether the values of a key, by its last part, are passed on as typed."""
    return name in TEXTS + PATHS or name.endswith("_field")


def task_overrides() -> list[str]:
    """Return the overrides of the job that Hydra executes, quoted and unresolved."""
    words: Any = OmegaConf.to_container(HydraConfig.get().overrides.task)
    return [str(word) for word in words]


def check_repeated(overrides: Sequence[str]) -> None:
    """Refuse a key with two different values, or with a part beside null: one would be lost."""
    typed: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        section = key.removeprefix("~")
        if (value == "null" or key != section) and section not in groups_of():
            does = "null" if value == "null" else "~"
            for other in (word for word in overrides if word is not override):
                name = other.lstrip("+").partition("=")[0]
                if name.startswith(f"{section}.") or (does == "~" and name == section):
                    raise UserError(
                        f"{override} {other}: {does} leaves out all of {section}; keep one"
                    )
        first = typed.setdefault(key, override)
        if "=" in override and override.lstrip("+") != first.lstrip("+"):
            both = "name both, joined" if key == "ckpt_path" else "sweep over both with -m, joined"
            raise UserError(
                f"{first} {override}: {key} has two values; keep one, or {both} by a comma"
            )


def check_options(overrides: Iterable[Override]) -> None:
    """Refuse a list or a mapping for a group: Hydra would merge it, and no run could be named."""
    overrides = list(overrides)
    for override in overrides:
        group, value = override.get_key_element().lstrip("+~").partition("@")[0], override.value()
        if group in groups_of() and isinstance(value, list | dict):
            options = options_of(group, own_folders([str(o.input_line) for o in overrides]))
            raise UserError(
                f"{override.input_line}: expected one option"
                + did_you_mean(" ".join(map(str, value)), options)
            )


def python_overrides(words: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a call from Python.

    Raises:
        UserError: If a word is none, or if a key has several values.
    """
    for word in words:
        if not isinstance(word, str) or not re.match(r"~|\+{0,2}[\w.@/]+=", word):
            raise UserError(f"{word!r:.60} is not of the form 'key=value'")
    overrides = [*map(quoted, words), *_settings("", settings)]
    check_repeated(overrides)
    parsed = OverridesParser.create().parse_overrides(overrides)
    check_options(parsed)
    for override in parsed:
        if override.get_key_element().lstrip("+~").startswith(("hydra.", "hydra/")):
            if not override.get_key_element().endswith("hydra.searchpath"):
                raise UserError(f"{override.input_line}: only the command line follows this key")
        if override.is_sweep_override():
            search = "" if override.is_discrete_sweep() else "hydra/sweeper=search "
            raise UserError(
                f"{override.input_line}: several values are a sweep; the command line runs one: "
                f"python train.py -m {search}{shlex.join(map(unquoted, overrides))}"
            )
    return overrides


def _settings(section: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a section, those of inner sections included."""
    overrides = []
    for name, value in settings.items():
        key = f"{section}.{name}" if section else name
        name = key.rpartition(".")[2]
        if isinstance(value, Mapping) and name not in PATHS:
            overrides += _settings(key, value)
            continue
        key = group if (group := key.replace(".", "/")) in groups_of() else key
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        overrides.append(
            quoted(f"{key}={value}")
            if isinstance(value, str) and _is_literal(name)
            else f"{key}={_literal(value)}"
        )
    return overrides


def _literal(value: Any) -> str:
    """Write a value in Hydra's grammar."""
    if hasattr(value, "tolist"):  # numpy's numbers and arrays, tensors
        value = value.tolist()
    if value is None or isinstance(value, int | float):
        return typed(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_literal, value))}]"
    text = str(value)
    is_word = re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII) and text.lower() not in _VALUES
    return text if is_word else _quote(text)


def quoted(override: str, multirun: bool = False) -> str:
    r"""Quote the override of a text so that Hydra does not change its value.

    `prompt=add (a, b)` becomes `prompt='add (a, b)'`. Two grammars parse the value: in OmegaConf's
    `${` starts an interpolation, and in Hydra's a quote ends the text, unless a backslash escapes
    them; both read the backslashes before that mark in pairs. Other backslashes are literal.

    A mapping or a list of files or fields, `data.path={train: A, val: B}`, is left to Hydra.

    Args:
        override: One `key=value` of the command line, maybe with `+` or `++` in front.
        multirun: Whether this is a sweep, where a comma list of files is several values.

    Returns:
        The quoted override; overrides of other keys are returned unchanged.
    """
    match = re.fullmatch(r"(\+{0,2}([\w.]+))=(.*)", override, flags=re.DOTALL)
    if match is None:
        return override
    key, path, text = match.groups()
    name = path.rsplit(".", 1)[-1]
    if not _is_literal(name) or (text == "null" and name != "prompt"):
        return override
    is_field = name.endswith("_field")
    is_several = text[:1] + text[-1:] in ("{}", "[]") and (name == "path" or is_field)
    if is_several and not os.path.exists(text):
        return override
    texts = [text]
    is_swept = name in SWEPT or is_field
    if multirun and is_swept and not os.path.exists(os.path.expanduser(text)):
        texts = [part.strip() for part in text.split(",")]
    if is_field:  # without quotes where it can be, for the names of the rows of a sweep
        return f"{key}={','.join('null' if text == 'null' else _literal(text) for text in texts)}"
    if name in PATHS:  # the shell expands `~` only at the start of a word
        texts = [os.path.expanduser(text) for text in texts]
    words = ["null" if text == "null" and len(texts) > 1 else _quote(text) for text in texts]
    return f"{key}={','.join(words)}"


def comma_separated(text: str) -> list[str]:
    """Return the parts of `a,b` or `[a,b]`."""
    listed = re.fullmatch(r"\[([^][]*,[^][]*)\]", text)  # `[ab],[cd]` are two patterns
    parts = (listed[1] if listed else text).split(",")
    return [part.strip().strip("'\"") for part in parts if part.strip()]


def _quote(text: str) -> str:
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\+)\Z", r"\1\1", text)
    return f"'{text}'"


def unquoted(override: str) -> str:
    """Undo `quoted`."""
    key, _, _ = override.partition("=")
    name = key.lstrip("+").rsplit(".", 1)[-1]
    if not _is_literal(name):
        return override
    value = OverridesParser.create().parse_override(override).value()
    return (
        f"{key}={OmegaConf.create({'value': value}).value}" if isinstance(value, str) else override
    )
