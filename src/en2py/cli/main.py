"""Run an entry point through Hydra: texts as typed, errors in one sentence, exit codes.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | a fault of the machine or of training: one sentence; or a bug: its traceback on stderr |
| 2 | a mistake of the user: one sentence on stderr, nothing written |
| 130, 143 | Ctrl-C, SIGTERM |
| 141 | the reader of the output was closed, as by `head` |

A sweep continues after a failed run. Its exit code is 1 if a run had a bug or a fault, else 2 if
one was refused.
"""

import contextlib
import functools
import gc
import logging
import math
import os
import re
import shlex
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from en2py.cli.overrides import CommandLine, parse
from en2py.config.composition import CONF, compose_config, job_of
from en2py.config.messages import check_options_of_sweep, exit_code, user_message
from en2py.config.overrides import task_overrides, unquoted
from en2py.console import as_installed, configure_logging, print_error, set_job
from en2py.errors import Fault, UserError, chain, check_installed
from en2py.sweeps import plan, status
from en2py.training import run_folder, signals
from en2py.training.run import Run

log = logging.getLogger(__name__)

_NEEDED = {"search": ("optuna",)}  # packages of an option, besides that of its class
# The launchers and the search in conf/hydra replace the plugins' configs of the same names.
warnings.filterwarnings("ignore", r"\s*'hydra/.*' is validated against ConfigStore schema")


class RunFailed(Exception):
    """A run of a sweep failed: one sentence, and the exit code of the run.

    It replaces the original error, which may not survive pickling between two processes, and whose
    frames would keep the model in memory while the next run trains.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason, code)
        self.code = code


def command(
    main: Callable[[DictConfig], Any],
    config_name: str,
    argv: Sequence[str] | None = None,
    in_words: Callable[[str], str] = str,
    after_sweep: Callable[[], None] = lambda: None,
) -> int:
    """Run an entry point with the arguments of the command line.

    Args:
        main: Called with the validated config of each run.
        config_name: The primary config, a file of `conf/` without its suffix.
        argv: Program and arguments; None: `sys.argv`.
        in_words: Replaces the keys in a message by the program's own arguments.
        after_sweep: Called after the runs of a sweep of another program than `train`.

    Returns:
        The exit code, see the head of this file.
    """
    given = list(sys.argv if argv is None else argv)
    overrides: list[str] = []
    try:
        gc.set_threshold(10_000)  # with Python's 700, collections take a second of torch's imports
        configure_logging()
        sys.argv = [*(given[:1] or [f"{config_name}.py"])]
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
        with signals.handle_signals():
            if "--version" in given[1:]:
                print(f"en2py {metadata.version('en2py')}")
                return 0
            line, page = parse(given[1:], config_name), f"hydra/help={config_name}"
            config_name, overrides = line.config_name, line.overrides
            if {"--help", "-h"} & set(line.options):  # Hydra's own --help takes a second
                page = compose_config(config_name, [*overrides, page]).hydra.help.template
                print(as_installed(str(page)))
                return 0
            return _start(main, line, in_words, after_sweep)
    except KeyboardInterrupt:
        return _interrupted(given, 130)
    except BrokenPipeError:  # `| head` closed stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except SystemExit as stop:
        code = _exit_code(stop)
        return _interrupted(given, code) if code in (130, 143) else code
    except RunFailed as failure:
        if config_name != "train":  # whose summary names the failed runs
            print_error(f"not all evaluations of the sweep succeeded: {failure.args[0]}")
        return failure.code
    except Exception as error:
        if _is_interrupt(error):
            return _interrupted(given, 130)
        message = user_message(error, config_name, overrides)
        if message is None:
            raise
        return refuse(in_words(message), exit_code(error))


def _start(
    main: Callable[[DictConfig], Any],
    line: CommandLine,
    in_words: Callable[[str], str],
    after_sweep: Callable[[], None],
) -> int:
    """Start Hydra with a command line, and print the summary of a sweep; return the exit code."""
    config_name, overrides = line.config_name, line.overrides
    sys.argv += line.options + overrides
    folder = _check_sweep(config_name, overrides) if line.is_sweep else None
    if folder is not None:
        run_folder.begin_sweep()
    job: Any = functools.partial(_run, main, config_name, in_words)
    job.__module__ = config_name  # the name of the job
    # An absolute path: the program may be started from another folder.
    run = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
    code = 0
    try:
        run(job)()
    finally:
        if config_name == "train" and folder is not None and folder.is_dir():
            code = status.print_summary(folder)
        elif folder is not None:
            after_sweep()
    if config_name == "train" and line.prints_config:  # Hydra has printed it
        from en2py.config.validation import validate

        with job_of(compose_config(config_name, overrides)) as cfg:
            validate(cfg, config_name)
    return code


def refuse(reason: str, code: int = 2) -> int:
    """Print a mistake or a fault on stderr, in one line of a file, and return its exit code."""
    print_error(" ".join(reason.split()))
    return code


def _check_sweep(config_name: str, overrides: Sequence[str]) -> Path:
    """Compose the first job of a sweep before Hydra overwrites the record of the last sweep.

    Returns:
        The folder of the sweep.
    """
    check_options_of_sweep(overrides)
    composed = compose_config(config_name, overrides)
    if (folder := composed.get("folder")) is not None:
        raise UserError(
            f"folder={folder}: each evaluation of a sweep would replace the files of the one "
            "before; leave it out, then each has a folder of its own beside the checkpoint"
        )
    for part in ("launcher", "sweeper"):
        choice = str(composed.hydra.runtime.choices[f"hydra/{part}"])
        package = ".".join(str(composed.hydra[part]._target_).split(".")[:2])
        for module in (package, *_NEEDED.get(choice, ())):
            check_installed(f"hydra/{part}={choice}", module, "sweeps")
            version = metadata.version(module) if module == "optuna" else ""
            if version and int(version.split(".")[0]) < 5:
                raise UserError(
                    f"hydra/{part}={choice} needs optuna 5, and {version} is installed; "
                    'pip install -e ".[sweeps]" updates it'
                )
    return Path(str(composed.hydra.sweep.dir))


def _run(
    main: Callable[[DictConfig], Any],
    config_name: str,
    in_words: Callable[[str], str],
    cfg: DictConfig,
) -> Any:
    """Validate and execute one job; record the failure of a sweep's job, and raise `RunFailed`."""
    hydra = HydraConfig.get()
    multirun = hydra.mode == RunMode.MULTIRUN
    overrides = task_overrides()
    search_path = [str(o) for o in hydra.overrides.hydra if str(o).startswith("hydra.searchpath=")]
    configure_logging()  # also in the worker process of a launcher
    if config_name == "train" and run_folder.in_sweep():
        label = plan.job_label(Path(str(hydra.sweep.dir)), overrides)
        set_job(label, parallel="n_jobs" in hydra.launcher)
    try:
        from en2py.config.contradictions import starts_ranks
        from en2py.config.validation import validate

        validate(cfg, config_name)
        # On SLURM, `srun` starts the ranks.
        on_slurm = "SLURM_NTASKS" in os.environ
        if multirun and config_name == "train" and not on_slurm and starts_ranks(cfg.trainer):
            return _run_in_subprocess(cfg, [*search_path, *overrides])
        sys.argv[1:] = [*search_path, *map(unquoted, overrides)]  # for Lightning's other ranks
        return main(cfg)
    except Exception as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        message, trace = user_message(error, config_name, [*search_path, *overrides]), ""
        if not multirun:
            if message is None:
                raise
            # Hydra would prefix a raised error.
            sys.exit(refuse(in_words(message), exit_code(error)))
        code = exit_code(error)
        if message is None:
            message, code, trace = f"{type(error).__name__}: {error}", 1, traceback.format_exc()
        failure = RunFailed(" ".join(message.split()), code)
    _record_failure(cfg, config_name, overrides, failure, trace)
    gc.collect()  # free the memory of the failed run before the next one
    raise failure


def _record_failure(
    cfg: DictConfig, config_name: str, overrides: list[str], failure: RunFailed, trace: str
) -> None:
    """Log the failure of a job; write it to the sweep's failed.log and to the run's state."""
    reason = failure.args[0]
    job = "" if config_name == "train" else f"{' '.join(overrides)}: "  # else the prefix of lines
    ended = "refused" if failure.code == 2 else "failed"
    log.error(f"{job}{ended}: {reason}")
    folder = Path(str(HydraConfig.get().sweep.dir))
    with (folder / "failed.log").open("a", encoding="utf-8") as file:
        file.write(f"{ended}: {' '.join(overrides)}: {reason}\n{trace}")
    if config_name == "train":
        with contextlib.suppress(Exception):  # an invalid config may have no run name
            # As planned: of a data file that is gone or has changed, the run has another name now.
            name = plan.planned_run(folder, overrides) or Run.of_job(cfg).name
            state = run_folder.read_state(folder / name)
            if state.status != run_folder.RUNNING:  # by another process
                run_folder.write_state(folder / name, overrides, reason, failure.code)


def _exit_code(stop: SystemExit) -> int:
    """Return the exit code of a stopped program.

    Lightning turns SIGTERM into a `SystemExit` without a code and Ctrl-C into code 1.
    """
    if type(stop).__name__ == "SIGTERMException":  # by name: importing it takes seconds
        return 143
    if _is_interrupt(stop):
        return 130
    if isinstance(stop.code, str):
        return refuse(stop.code)
    return stop.code or 0


def _is_interrupt(error: BaseException) -> bool:
    """Return whether an error follows from Ctrl-C, which libraries turn into errors of their own.

    An example is OmegaConf's temporary copy of a config.
    """
    return any(isinstance(cause, KeyboardInterrupt) for cause in chain(error))


def _interrupted(argv: Sequence[str], code: int) -> int:
    """Print how an interrupted command is resumed, and return its exit code."""
    program = Path(argv[0]).name
    if "LOCAL_RANK" in os.environ or "generate" in program:  # a rank; nothing to resume
        return code
    words = [word for word in argv[1:] if not word.lstrip("+").startswith("fresh=")]
    command = shlex.join([*(["python"] if program.endswith(".py") else []), program, *words])
    does = "starts again and takes the finished parts from the cache"
    if "train" in program:
        does = "resumes it"
        if any(re.match("--?m", word) for word in words):
            does = "keeps the finished runs and resumes the others"
    command = command.replace(" ", "\u00a0")  # it is copied: not wrapped
    same = "the same command" + (" without fresh=true" if len(words) < len(argv[1:]) else "")
    print_error(f"interrupted; {same} {does}: {command}")
    return code


def _run_in_subprocess(cfg: DictConfig, overrides: list[str]) -> float:
    """Train on several ranks: if one dies, Lightning exits the process of rank 0.

    Returns:
        The best validation NLL; infinity if a search pruned the run.
    """
    command = [sys.executable, "-m", "en2py.cli.programs", *map(unquoted, overrides)]
    folder = Run.of_job(cfg).folder  # now: a data file that changes would name another one
    done = subprocess.run(command, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    result = run_folder.read_result(folder)
    is_pruned = run_folder.read_state(folder).status == run_folder.PRUNED
    if done.returncode == 0 and (result is not None or is_pruned):
        sys.stderr.write(done.stderr)
        return float(result["best"].get("val/nll", math.inf)) if result else math.inf
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise UserError(last) if done.returncode == 2 else Fault(last)
