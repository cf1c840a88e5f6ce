"""The command line around Hydra: text as it was typed, one sentence for a mistake, exit codes.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a fault of the machine or the training: one sentence; or a bug: its traceback on stderr |
| 2 | a mistake of the person at the keyboard: one sentence on stderr, nothing written |
| 130, 143 | Ctrl-C, SIGTERM |

A sweep gives every run its turn. It ends with 1 if one of them met a bug, else with 2 if one was
refused.
"""

import contextlib
import functools
import gc
import importlib.util
import math
import os
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from en2py.config.messages import exit_code, explain, groups_of, options_of, rehearse
from en2py.errors import Fault, UserError
from en2py.sweeps import progress
from en2py.training import signals

ROOT = Path(__file__).resolve().parents[3]  # the checkout: the package is installed in place
CONF = ROOT / "conf"

# Values of these keys reach the program as typed: Hydra's grammar would refuse or rewrite them.
# A key counts by its last part, so `path` stands for `data.path` and `embeddings.path` too.
TEXTS = ("prompt", "study", "baseline")
PATHS = ("path", "root", "ckpt_path", "init_from", "prompts", "output", "cache", "folder", "export",
         "results")  # fmt: skip

# Registered on import and not in `command`, because a launcher's worker process imports this
# module when it unpickles the job, and composes the job's config right afterwards.
OmegaConf.register_new_resolver("root", lambda: str(ROOT), replace=True)
OmegaConf.register_new_resolver("options", lambda group: _listed(group), replace=True)
OmegaConf.register_new_resolver("groups", lambda: _groups(), replace=True)
OmegaConf.register_new_resolver("cores", lambda most: min(progress.n_cores(), most), replace=True)


# Our files of launchers and of the search bear the names of the plugins' own, on purpose.
warnings.filterwarnings("ignore", r"\s*'hydra/.*' is validated against ConfigStore schema")


class RunFailed(Exception):
    """A run of a sweep that did not end well.

    It takes the place of the error itself, which may not survive the way between two processes, and
    whose frames would keep the run's model in memory while the next one trains.

    Args:
        reason: One sentence.
        code: The exit code that the run would have had on its own.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason, code)
        self.code = code


def command(
    door: Callable[[DictConfig], Any],
    config_name: str,
    *,
    argv: Sequence[str] | None = None,
    before_sweep: Callable[[list[DictConfig], int], None] | None = None,
    after_sweep: Callable[[Path], int | None] | None = None,
) -> int:
    """Run one of the programs from its command line.

    Args:
        door: What the program does with a checked config; called once a run.
        config_name: The file of `conf/` without its suffix; also the program's name.
        argv: Program and arguments, `sys.argv` where none are given.
        before_sweep: Called with the configs of a sweep's missing runs, and how many of them will
            go at once, before the first starts.
        after_sweep: Called with the folder of the sweep when its last run is over, failed or not;
            what it returns is the exit code where nothing else is wrong.

    Returns:
        The exit code, see the head of this file.
    """
    given = list(sys.argv if argv is None else argv)
    sys.argv = [*(given[:1] or [f"{config_name}.py"])]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises then, instead of printing and leaving
    overrides: list[str] = []
    try:
        with signals.answered():
            options, overrides = separate(given[1:])
            overrides = [as_typed(override) for override in overrides]
            if {"--help", "-h"} & set(options):
                overrides.append(f"hydra/help={config_name}")
            config_name = config_of(config_name, overrides)
            sys.argv += options + overrides
            folder = _rehearse_sweep(config_name, overrides) if _is_sweep(options) else None
            if folder is not None:
                progress.begin()
            job: Any = functools.partial(_run, door, config_name)
            job.__module__ = config_name  # Hydra names the job after it
            job.before_sweep = before_sweep  # for the sweeper, which is handed the job alone
            # Absolute, or a program started from another folder finds no config.
            main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
            code = 0
            try:
                main(job)()
            finally:
                if folder is not None and after_sweep is not None and folder.is_dir():
                    code = after_sweep(folder) or 0
            return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except SystemExit as stop:
        return _code(stop)
    except RunFailed as failure:
        return failure.code
    except Exception as error:
        reason = explain(error, config_name, overrides, CONF)
        if reason is None:
            raise
        return refuse(reason, exit_code(error))
    return 0


def config_of(program: str, overrides: Sequence[str]) -> str:
    """Return the config that a command line is composed from.

    Without a checkpoint, baselines need to be told which data: they have a config of their own.

    Args:
        program: The program, whose name its usual config has.
        overrides: The command line's `key=value` words.
    """
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    alone = "baseline" in given and not given & {"ckpt_path", "results", "study"}
    return "baseline" if program == "evaluate" and alone else program


def refuse(reason: str, code: int = 2) -> int:
    """Tell a mistake or a fault in one line on stderr.

    Args:
        reason: What was wrong, the value, what to do.
        code: The exit code for it.

    Returns:
        The exit code.
    """
    print(" ".join(reason.split()), file=sys.stderr)
    return code


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


def _listed(group: str) -> str:
    return ", ".join(options_of(group, CONF)) or "none yet"


def _groups() -> str:
    """Return the groups and their options as lines of the help text."""
    return "\n  ".join(f"{group}: {_listed(group)}" for group in groups_of(CONF))


def _is_sweep(options: Sequence[str]) -> bool:
    parsed, _ = get_args_parser().parse_known_args(options)
    return bool(parsed.multirun)


def _rehearse_sweep(config_name: str, overrides: Sequence[str]) -> Path:
    """Compose what a sweep starts from, before Hydra writes the sweep's record over the last one.

    Returns:
        The folder of the sweep.
    """
    composed = rehearse(config_name, overrides, CONF)
    for part in ("launcher", "sweeper"):
        package = ".".join(str(composed.hydra[part]._target_).split(".")[:2])
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"hydra/{part}={composed.hydra.runtime.choices[f'hydra/{part}']}: {package} is not "
                'installed; pip install -e ".[sweeps]" does it'
            )
    return Path(str(composed.hydra.sweep.dir))


def _run(door: Callable[[DictConfig], Any], config_name: str, cfg: DictConfig) -> Any:
    """Check and do one run; in a sweep note how it failed, so that the others go on."""
    settings = HydraConfig.get()
    alone = settings.mode == RunMode.RUN
    words: Any = OmegaConf.to_container(settings.overrides.task)  # unresolved, as typed
    overrides = [str(word) for word in words]
    try:
        from en2py.config.validation import check

        check(cfg, config_name)
        if not alone and progress.is_of_several_ranks(cfg):
            return _in_a_process_of_its_own(cfg, overrides)
        sys.argv[1:] = [typed(o) for o in overrides]  # the other ranks of a run are started with it
        return door(cfg)
    except Exception as error:
        reason = explain(error, config_name, overrides, CONF)
        if alone:
            if reason is None:
                raise
            # Raised, Hydra would put a line of its own before it.
            sys.exit(refuse(reason, exit_code(error)))
        trace = "" if reason else traceback.format_exc()
        told = " ".join((reason or f"{type(error).__name__}: {error}").split())
        failure = RunFailed(told, 1 if reason is None else exit_code(error))
    _note(cfg, config_name, overrides, failure, trace)
    gc.collect()  # what the failed run held, before the next one needs it
    raise failure


def _in_a_process_of_its_own(cfg: DictConfig, overrides: list[str]) -> float:
    """Do a run of several ranks: where one of them dies, Lightning ends the process of the first.

    Returns:
        The best validation NLL.
    """
    words = [sys.executable, str(ROOT / "train.py"), *map(typed, overrides)]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    choices = {k: str(v) for k, v in HydraConfig.get().runtime.choices.items() if k[:5] != "hydra"}
    result = progress.result_of(progress.folder_of(cfg, overrides, choices))
    if done.returncode == 0 and result is not None:
        return float(result["best"].get("val/nll", math.inf))
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise UserError(last) if done.returncode == 2 else Fault(last)


def _note(
    cfg: DictConfig, config_name: str, overrides: list[str], failure: RunFailed, trace: str
) -> None:
    """Tell of a failed run: now on stderr, and beside the runs for later."""
    settings = HydraConfig.get()
    folder = Path(str(settings.sweep.dir))
    told = failure.args[0]
    print(f"{progress.job_label(folder, overrides)}: failed: {told}", file=sys.stderr)
    with (folder / "failed.log").open("a", encoding="utf-8") as file:
        file.write(f"failed: {' '.join(overrides)}: {told}\n{trace}")
    if config_name == "train":
        choices = {k: str(v) for k, v in settings.runtime.choices.items() if k[:5] != "hydra"}
        with contextlib.suppress(Exception):  # a config without a name has no folder either
            run_folder = progress.folder_of(cfg, overrides, choices)
            progress.sign(run_folder, overrides, told, failure.code)


def _code(stop: SystemExit) -> int:
    """Give the exit code of a program that was stopped.

    Lightning turns SIGTERM into a `SystemExit` without a code and Ctrl-C into code 1.
    """
    if type(stop).__name__ == "SIGTERMException":  # by name: importing it costs seconds
        return 143
    cause: BaseException | None = stop
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return 130
        cause = cause.__cause__ or cause.__context__
    if isinstance(stop.code, str):
        return refuse(stop.code)
    return stop.code or 0
