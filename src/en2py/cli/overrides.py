"""Command-line words: separate options from overrides, keep text as typed."""

import os
import re
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from en2py.errors import UserError

# Values of these keys reach the program as typed: Hydra's grammar would refuse or rewrite them.
# A key counts by its last part, so `path` stands for `data.path` and `embeddings.path` too.
TEXTS = ("prompt", "study", "baseline")


PATHS = ("path", "root", "ckpt_path", "init_from", "prompts", "output", "cache", "folder", "export",
         "results")  # fmt: skip


def separate(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take a command line apart into options and overrides.

    Hydra loses overrides that stand behind an option (`seed=1 -m model=tiny`); in this order it
    does not.

    Args:
        arguments: The command line without the program.

    Returns:
        What starts with a dash, with its values, and the overrides.

    Raises:
        UserError: If an option or a word is not known.
    """
    overrides = [a for a in arguments if a[:1] in ("~", "+") or ("=" in a and a[:1] != "-")]
    options = [a for a in arguments if a not in overrides]
    parsed, unknown = get_args_parser().parse_known_args(options)
    for option in unknown:
        name = option.lstrip("-").split("=")[0].replace("-", "_")
        raise UserError(f"{option}: no such option; values are set as {name}=VALUE, see --help")
    for word in parsed.overrides:
        raise UserError(
            f"'{word}' is not of the form key=value; a text with spaces stands in quotes: "
            'prompt="add two numbers"'
        )
    return options, overrides


def as_typed(override: str) -> str:
    r"""Rewrite the override of a text so that Hydra hands its value over unchanged.

    `prompt=add (a, b)` becomes `prompt='add (a, b)'`. Two grammars read the value: OmegaConf's
    takes `${` for an interpolation unless a backslash stands before it, and Hydra's ends the text
    at a quote unless a backslash stands before it; both read the backslashes before that mark in
    pairs. Backslashes elsewhere stand for themselves.

    Args:
        override: One `key=value` of the command line, with `+` or `++` before it or not.

    Returns:
        The override for Hydra; any other override comes back as it is.
    """
    match = re.fullmatch(r"(\+{0,2}([\w.]+))=(.*)", override, flags=re.DOTALL)
    if match is None:
        return override
    key, path, text = match.groups()
    name = path.rsplit(".", 1)[-1]
    if name not in TEXTS + PATHS or (text == "null" and name != "prompt"):
        return override
    if name in PATHS:
        text = os.path.expanduser(text)  # the shell does it for words of their own only
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\+)\Z", r"\1\1", text)
    return f"{key}='{text}'"


def typed(override: str) -> str:
    """Undo `as_typed`."""
    key, _, _ = override.partition("=")
    name = key.lstrip("+").rsplit(".", 1)[-1]
    if name not in TEXTS + PATHS:
        return override
    value = OverridesParser.create().parse_override(override).value()
    return (
        f"{key}={OmegaConf.create({'value': value}).value}" if isinstance(value, str) else override
    )
