"""Parse the command line: separate options from overrides, and keep texts as typed."""

import os
import re
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from omegaconf import OmegaConf

from en2py.config.composition import SWEPT, groups_of, options_of
from en2py.errors import UserError, did_you_mean

# Values of these keys are passed on as typed: Hydra's grammar would refuse or change them.
# The last part of a key counts: `path` covers `data.path` and `embeddings.path`.
TEXTS = ("prompt", "study", "baseline")


PATHS = ("path", "root", "ckpt_path", "init_from", "prompts", "output", "cache", "folder", "export",
         "results")  # fmt: skip


def separate(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate options from overrides.

    Hydra loses overrides behind an option (`seed=1 -m model=tiny`), so options go first.

    Args:
        arguments: The command line without the program.

    Returns:
        Options with their values, and overrides.

    Raises:
        UserError: If an option or a word is unknown.
    """
    overrides = [a for a in arguments if a[:1] in ("~", "+") or ("=" in a and a[:1] != "-")]
    options = [a for a in arguments if a not in overrides]
    parsed, unknown = get_args_parser().parse_known_args(options)
    for option in unknown:
        name = option.lstrip("-").split("=")[0].replace("-", "_")
        raise UserError(f"{option}: no such option; values are set as {name}=VALUE, see --help")
    for word in parsed.overrides:
        raise UserError(
            f"'{word}' is not of the form key=value; put a text with spaces in quotes: "
            'prompt="add two numbers"'
        )
    return options, overrides


def is_sweep(options: Sequence[str]) -> bool:
    """Return whether `--multirun` is among the options, abbreviated or not."""
    parsed, _ = get_args_parser().parse_known_args(options)
    return bool(parsed.multirun)


def sweep_values(overrides: Sequence[str], multirun: bool) -> list[str]:
    """Replace each `group=glob(...)` by the options that it names.

    Args:
        overrides: The command line's `key=value` words.
        multirun: Whether this is a sweep.

    Raises:
        UserError: If a pattern names no option, or a value for a sweep is given without `-m`.
    """
    replaced = []
    for word, override in zip(
        overrides, OverridesParser.create().parse_overrides(list(overrides)), strict=True
    ):
        key, value = override.get_key_element(), override.value()
        if override.is_sweep_override() and not multirun:
            raise UserError(
                f"{word}: several values are a sweep: add -m; a list is written in brackets, "
                f"{key}=[A,B]"
            )
        if isinstance(value, Glob):
            name = key.lstrip("+")
            if name not in groups_of():
                raise UserError(
                    f"{word}: glob() selects options of a group{did_you_mean(name, groups_of())}"
                )
            options = value.filter(options_of(name))
            if not options:
                raise UserError(
                    f"{word}: no option has such a name; choose from: {', '.join(options_of(name))}"
                )
            word = f"{key}={','.join(options)}"
        replaced.append(word)
    return replaced


def as_typed(override: str, multirun: bool = False) -> str:
    r"""Quote the override of a text so that Hydra does not change its value.

    `prompt=add (a, b)` becomes `prompt='add (a, b)'`. Two grammars parse the value: in OmegaConf's
    `${` starts an interpolation, and in Hydra's a quote ends the text, unless a backslash escapes
    them; both read the backslashes before that mark in pairs. Other backslashes are literal.

    A mapping of files, `data.path={train: A, val: B}`, is left to Hydra.

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
    if name not in TEXTS + PATHS or (text == "null" and name != "prompt"):
        return override
    if name == "path" and text[:1] == "{" and text[-1:] == "}" and not os.path.exists(text):
        return override
    texts = [text]
    if multirun and name in SWEPT and not os.path.exists(os.path.expanduser(text)):
        texts = [part.strip() for part in text.split(",")]
    if name in PATHS:  # the shell expands `~` only at the start of a word
        texts = [os.path.expanduser(text) for text in texts]
    return f"{key}={','.join(map(_quoted, texts))}"


def _quoted(text: str) -> str:
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\+)\Z", r"\1\1", text)
    return f"'{text}'"


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
