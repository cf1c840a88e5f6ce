"""Parse the command line: separate options from overrides, and expand patterns of options."""

import os
import re
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob

from en2py.config.composition import groups_of, options_of, own_folders
from en2py.config.overrides import check_options
from en2py.errors import UserError, did_you_mean


def separate(
    arguments: Sequence[str], *, takes_checkpoints: bool = False
) -> tuple[list[str], list[str]]:
    """Separate options from overrides.

    Hydra loses overrides behind an option (`seed=1 -m model=tiny`), so options go first.

    Args:
        arguments: The command line without the program.
        takes_checkpoints: Whether words that name files and folders are values of `ckpt_path`.

    Returns:
        Options with their values, and overrides.

    Raises:
        UserError: If an option or a word is unknown.
    """
    overrides = [
        a
        for a in arguments
        if (a[:1] in ("~", "+") or ("=" in a and a[:1] != "-"))
        and not (takes_checkpoints and _is_path_with_equals(a))
    ]
    options = [a for a in arguments if a not in overrides]
    for word in overrides:
        if not word.partition("=")[0].strip("+~ "):
            raise UserError(f"'{word}' is not of the form key=value, such as seed=2")
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse prints its own usage and exits
    parsed, unknown = parser.parse_known_args(options)
    for option in unknown:
        name = option.lstrip("-").split("=")[0].replace("-", "_")
        raise UserError(f"{option}: no such option; values are set as {name}=VALUE, see --help")
    modes = {"run": "--run", "multirun": "-m", "cfg": "--cfg", "info": "--info",
             "shell_completion": "--shell-completion"}  # fmt: skip
    chosen = [mode for name, mode in modes.items() if getattr(parsed, name)]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} exclude each other; keep one")
    files = [word for word in parsed.overrides if takes_checkpoints and _is_path(word)]
    if files:
        options = [word for word in options if word not in files]
        overrides.append(f"ckpt_path={','.join(files)}")
    for word in parsed.overrides:
        if word in files:
            continue
        example = 'prompt="add two numbers"' if takes_checkpoints else 'study="my study"'
        raise UserError(
            f"'{word}' is not of the form key=value, such as seed=2; put a text with spaces in "
            f"quotes: {example}"
        )
    return options, overrides


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message.removeprefix('argument ')}; see --help")


def _is_path_with_equals(word: str) -> bool:
    """Return whether a word like `runs/lr=0.1/best.ckpt` is a path, not a setting."""
    return os.path.exists(word) or re.match(r"[^=]*/.*\.ckpt$", word) is not None


def _is_path(word: str) -> bool:
    return os.path.exists(os.path.expanduser(word)) or "/" in word or word.endswith(".ckpt")


def is_sweep(options: Sequence[str]) -> bool:
    """Return whether `--multirun` is among the options, abbreviated or not."""
    return bool(_flags(options).multirun)


def prints_config(options: Sequence[str]) -> bool:
    """Return whether `--cfg job` is among the options, abbreviated or not."""
    return bool(_flags(options).cfg == "job")


def _flags(options: Sequence[str]) -> Namespace:
    return get_args_parser().parse_known_args(options)[0]


def sweep_values(overrides: Sequence[str], multirun: bool) -> list[str]:
    """Replace each `group=glob(...)` by the options that it names.

    A key below a group with several values becomes a choice of one, which Hydra sets in the runs
    alone: the default option of the group may lack the key.

    Args:
        overrides: The command line's `key=value` words.
        multirun: Whether this is a sweep.

    Raises:
        UserError: If a pattern names no option, a value for a sweep is given without `-m`, or a
            group has a list or a mapping.
    """
    replaced = []
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    check_options(parsed)
    swept = tuple(f"{o.get_key_element()}." for o in parsed if o.is_sweep_override())
    for word, override in zip(overrides, parsed, strict=True):
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
            options = value.filter(options_of(name, own_folders(overrides)))
            if not options:
                raise UserError(
                    f"{word}: no option has such a name; choose from: "
                    + ", ".join(options_of(name, own_folders(overrides)))
                )
            word = f"{key}={','.join(options)}"
        if key.startswith(swept) and not override.is_sweep_override():
            word = f"{key}=choice({word.partition('=')[2]})"
        replaced.append(word)
    return replaced
