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
import logging
import math
import os
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
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from en2py.cli.overrides import as_typed, separate, typed
from en2py.config.composition import CONF, ROOT, rehearse, without_preset
from en2py.config.messages import exit_code, user_message
from en2py.console import configure_logging, set_job
from en2py.errors import Fault, UserError
from en2py.sweeps import plan
from en2py.training import run_folder, signals

log = logging.getLogger(__name__)

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
    configure_logging()
    given = list(sys.argv if argv is None else argv)
    sys.argv = [*(given[:1] or [f"{config_name}.py"])]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises then, instead of printing and leaving
    overrides: list[str] = []
    try:
        with signals.handle_signals():
            options, overrides = separate(given[1:])
            overrides = [as_typed(override) for override in overrides]
            if {"--help", "-h"} & set(options):
                overrides.append(f"hydra/help={config_name}")
            config_name = config_of(config_name, overrides)
            overrides = without_preset(config_name, overrides)
            sys.argv += options + overrides
            folder = _rehearse_sweep(config_name, overrides) if _is_sweep(options) else None
            if folder is not None:
                run_folder.begin_sweep()
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
        reason = user_message(error, config_name, overrides, CONF)
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
    configure_logging()  # in the worker process of a launcher too
    if run_folder.SWEEP_ID in os.environ:
        label = plan.job_label(Path(str(settings.sweep.dir)), overrides)
        set_job(label, parallel="n_jobs" in settings.launcher)
    try:
        from en2py.config.validation import validate

        validate(cfg, config_name)
        if not alone and is_of_several_ranks(cfg):
            return _in_a_process_of_its_own(cfg, overrides)
        sys.argv[1:] = [typed(o) for o in overrides]  # the other ranks of a run are started with it
        return door(cfg)
    except Exception as error:
        reason = user_message(error, config_name, overrides, CONF)
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


def _note(
    cfg: DictConfig, config_name: str, overrides: list[str], failure: RunFailed, trace: str
) -> None:
    """Tell of a failed run: now on stderr, and beside the runs for later."""
    settings = HydraConfig.get()
    folder = Path(str(settings.sweep.dir))
    told = failure.args[0]
    log.error(f"failed: {told}")
    with (folder / "failed.log").open("a", encoding="utf-8") as file:
        file.write(f"failed: {' '.join(overrides)}: {told}\n{trace}")
    if config_name == "train":
        choices = {k: str(v) for k, v in settings.runtime.choices.items() if k[:5] != "hydra"}
        with contextlib.suppress(Exception):  # a config without a name has no folder either
            failed = run_folder.folder_for(cfg, overrides, choices)
            run_folder.write_state(failed, overrides, told, failure.code)


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


def _in_a_process_of_its_own(cfg: DictConfig, overrides: list[str]) -> float:
    """Do a run of several ranks: where one of them dies, Lightning ends the process of the first.

    Returns:
        The best validation NLL.
    """
    words = [sys.executable, str(ROOT / "train.py"), *map(typed, overrides)]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    choices = {k: str(v) for k, v in HydraConfig.get().runtime.choices.items() if k[:5] != "hydra"}
    result = run_folder.read_result(run_folder.folder_for(cfg, overrides, choices))
    if done.returncode == 0 and result is not None:
        return float(result["best"].get("val/nll", math.inf))
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise UserError(last) if done.returncode == 2 else Fault(last)


def is_of_several_ranks(cfg: DictConfig) -> bool:
    """Tell whether Lightning starts other processes for a run; on Slurm, `srun` has done so."""
    strategy = str((cfg.get("trainer") or {}).get("strategy") or "")
    return strategy.startswith(("ddp", "fsdp", "deepspeed")) and "SLURM_NTASKS" not in os.environ
