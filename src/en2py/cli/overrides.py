"""Parse the command line: options, overrides as Hydra reads them, the primary config."""

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob

from en2py.config.composition import (
    groups_of,
    options_of,
    own_folders,
    with_presets,
    without_preset,
)
from en2py.config.overrides import check_options, check_repeated, quoted
from en2py.errors import UserError, did_you_mean

_MODES = {"run": "--run", "multirun": "-m", "cfg": "--cfg", "info": "--info",
          "shell_completion": "--shell-completion"}  # fmt: skip
# An evaluation follows the first: it writes the record of its sweep there.
_NOT_FOLLOWED = ("hydra.sweep.", "hydra.run.", "hydra.output_subdir", "hydra.job.chdir")
_OF_THE_CHECKPOINT = ("tokenizer", "model", "augmentation", "vocab", "optimizer", "trainer",
                      "experiment")  # fmt: skip
_OF_THE_EVALUATION = ("trainer.accelerator", "trainer.devices")


@dataclass(frozen=True)
class CommandLine:
    """A command line as Hydra gets it.

    Attributes:
        config_name: The primary config, a file of `conf/` without its suffix.
        options: With their values.
        overrides: `key=value` words.
        is_sweep: Whether `--multirun` is among the options, abbreviated or not.
        prints_config: Whether `--cfg job` is.
    """

    config_name: str
    options: list[str]
    overrides: list[str]
    is_sweep: bool
    prints_config: bool


def parse(words: Sequence[str], program: str) -> CommandLine:
    """Parse the arguments of `train` or `evaluate`.

    Raises:
        UserError: If a word is unknown, or is a setting that would have no effect.
    """
    is_evaluation = program == "evaluate"
    if "--verbose" in words and program != "train":
        raise UserError("--verbose is an option of train.py; --cfg job prints the config")
    words = ["show_config=true" if word == "--verbose" else word for word in words]
    options, overrides = separate(words, takes_checkpoints=is_evaluation)
    check_repeated(overrides)
    flags: Any = get_args_parser().parse_known_args(options)[0]
    is_sweep = bool(flags.multirun)
    overrides = sweep_values([quoted(override, is_sweep) for override in overrides], is_sweep)
    if "LOCAL_RANK" not in os.environ:  # Lightning sets some of these for its ranks
        why = "runs are stored in output/study/RUN; set output=FOLDER or study=NAME"
        if is_evaluation:
            why = "results are stored beside the checkpoint, or in folder=FOLDER"
        for override in overrides:
            if override.lstrip("+~").startswith(_NOT_FOLLOWED[is_evaluation:]):
                raise UserError(f"{override}: {why}")
    if is_evaluation:
        overrides = _as_trained(overrides)
    config_name = config_of(program, overrides)
    overrides = with_presets(without_preset(config_name, overrides))
    return CommandLine(config_name, options, overrides, is_sweep, flags.cfg == "job")


def config_of(program: str, overrides: Sequence[str]) -> str:
    """Return the primary config: an evaluation that chooses data needs the one with their groups.

    Raises:
        UserError: If a setting is typed that is part of the checkpoint.
    """
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    if "ckpt_path" in given:
        has_data = "data" in given
    else:
        has_data = bool(given & {"data", "baseline"}) and not given & {"results", "study"}
    if program != "evaluate" or not has_data:
        return program
    for key in given - set(_OF_THE_EVALUATION) if "ckpt_path" in given else ():
        if re.split(r"[./]", key)[0] in _OF_THE_CHECKPOINT:
            raise UserError(
                f"{key}: a checkpoint brings its own; with data= only data, split and cleaning are"
                " chosen"
            )
    return "evaluate_data"


def _as_trained(overrides: Sequence[str]) -> list[str]:
    """Add a plus to `decoding.KEY=VALUE`: the keys are in the checkpoint, which is read later."""
    given = {override.partition("=")[0] for override in overrides}
    if "ckpt_path" not in given or "decoding" in given:
        return [*overrides]
    return [f"+{o}" if re.match(r"decoding\.(?!engine=)", o) else o for o in overrides]


def separate(
    arguments: Sequence[str], *, takes_checkpoints: bool = False
) -> tuple[list[str], list[str]]:
    """Separate options with their values from overrides.

    Hydra loses overrides behind an option (`seed=1 -m model=tiny`), so options go first.

    Args:
        arguments: The command line without the program.
        takes_checkpoints: Whether words that name files and folders are values of `ckpt_path`.

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
        typed = option.split("=")[0]
        known = [name for name in parser._option_string_actions if len(name) > 2]
        known += [] if takes_checkpoints else ["--verbose"]
        if near := difflib.get_close_matches(typed, known, n=1, cutoff=0.75):
            raise UserError(f"{option}: no such option; did you mean {near[0]}?")
        name = typed.lstrip("-").replace("-", "_")
        raise UserError(f"{option}: no such option; values are set as {name}=VALUE, see --help")
    chosen = [mode for name, mode in _MODES.items() if getattr(parsed, name)]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} exclude each other; keep one")
    files = [word for word in parsed.overrides if takes_checkpoints and _is_path(word)]
    for word in parsed.overrides:
        if word not in files:
            example = 'prompt="add two numbers"' if takes_checkpoints else 'study="my study"'
            raise UserError(
                f"'{word}' is not of the form key=value, such as seed=2; put a text with spaces "
                f"in quotes: {example}"
            )
    if files:
        overrides.append(f"ckpt_path={','.join(files)}")
    return [word for word in options if word not in files], overrides


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message.removeprefix('argument ')}; see --help")


def _is_path_with_equals(word: str) -> bool:
    """Return whether a word like `runs/lr=0.1/best.ckpt` is a path, not a setting."""
    return os.path.exists(word) or re.match(r"[^=]*/.*\.ckpt$", word) is not None


def _is_path(word: str) -> bool:
    return os.path.exists(os.path.expanduser(word)) or "/" in word or word.endswith(".ckpt")


def sweep_values(overrides: Sequence[str], multirun: bool) -> list[str]:
    """Replace each `group=glob(...)` by the options that it names.

    A key below a group with several values becomes a choice of one, which Hydra sets in the runs
    alone: the default option of the group may lack the key.

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
            if not override.is_discrete_sweep():
                raise UserError(f"{word}: only a search draws numbers: add -m hydra/sweeper=search")
            raise UserError(
                f"{word}: several values are a sweep: add -m; a list is written in brackets, "
                f"'{key}=[A,B]'"
            )
        if isinstance(value, Glob):
            name = key.lstrip("+")
            if name not in groups_of():
                raise UserError(
                    f"{word}: glob() selects options of a group{did_you_mean(name, groups_of())}"
                )
            known = options_of(name, own_folders(overrides))
            if not (options := value.filter(known)):
                raise UserError(
                    f"{word}: no option has such a name; choose from: {', '.join(known)}"
                )
            word = f"{key}={','.join(options)}"
        if key.startswith(swept) and not override.is_sweep_override():
            word = f"{key}=choice({word.partition('=')[2]})"
        replaced.append(word)
    return replaced
