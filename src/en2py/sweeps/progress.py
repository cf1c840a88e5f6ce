"""A sweep: which runs it has, what became of each, and the tables that say so.

A run's state is read from its own folder, so it is the same whatever launched the run, and still
there when the launcher was killed:

| file | says |
|---|---|
| `result.json` | finished |
| `state.json` | which sweep took the run up last, and why it failed if it did |
| `sweeps.jsonl`, in the study's folder | the runs that each sweep meant to do, in order |
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from rich.text import Text

from en2py.config.run_name import run_name
from en2py.console import begin_job, console, duration, number, say
from en2py.data.cache import write_atomically

ID = "EN2PY_SWEEP"  # inherited by the worker processes of a launcher
_FIGURES = ("val/nll", "test/exact_match_renamed")
FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"
RUNNING, NOT_STARTED = "running", "not started"


@dataclass(frozen=True)
class Job:
    """A run that a sweep means to do.

    Attributes:
        overrides: As Hydra hands them to the run.
        run: Its name; empty where the config cannot be read.
        reason: Why it is refused before it starts; empty where it is not.
    """

    overrides: tuple[str, ...]
    run: str
    reason: str = ""


@dataclass(frozen=True)
class State:
    """What became of a run.

    Attributes:
        word: One of the words above.
        reason: Of a failure, one sentence.
        code: The exit code of that run alone.
    """

    word: str
    reason: str = ""
    code: int = 0


def begin() -> None:
    """Give the sweep of this process a name that its runs can sign with."""
    os.environ[ID] = f"{os.getpid()}-{os.urandom(4).hex()}"


def end() -> None:
    """Take the name away again: a later run of this process belongs to no sweep."""
    os.environ.pop(ID, None)


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of(launcher: Mapping[str, Any]) -> int:
    """Return the cores of one run where a launcher starts several on this machine at once."""
    return max(1, n_cores() // max(1, int(launcher.get("n_jobs") or 1)))


def folder_of(cfg: DictConfig, overrides: list[str], choices: Mapping[str, str]) -> Path:
    """Return the folder that a run will have, before anything is trained."""
    if cfg.get("ckpt_path"):
        from en2py.cli.train import (
            Run,  # its name comes from the checkpoint's own config: needs torch
        )

        return Path(Run(cfg, overrides, dict(choices)).folder)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    name = run_name(config, choices)
    return Path(config["output"], config["study"], name)


def is_of_several_ranks(cfg: DictConfig) -> bool:
    """Tell whether Lightning starts other processes for a run; on Slurm, `srun` has done so."""
    strategy = str((cfg.get("trainer") or {}).get("strategy") or "")
    return strategy.startswith(("ddp", "fsdp", "deepspeed")) and "SLURM_NTASKS" not in os.environ


def write_plan(folder: Path, jobs: Sequence[Job]) -> None:
    """Note in the study's folder which runs this sweep means to do."""
    line = json.dumps({"sweep": os.environ.get(ID), "jobs": [asdict(job) for job in jobs]})
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "sweeps.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_plans(folder: Path) -> list[tuple[str, list[Job]]]:
    """Return (name of the sweep, its runs) of each sweep of a study, oldest first."""
    found: dict[str, list[Job]] = {}
    try:
        lines = (folder / "sweeps.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # the last line of a sweep that was killed while it wrote
            continue
        jobs = [Job(tuple(job["overrides"]), job["run"], job["reason"]) for job in record["jobs"]] \
            if "jobs" in record else [Job(tuple(record["overrides"]), record["run"])]  # fmt: skip
        found.setdefault(str(record["sweep"]), []).extend(jobs)
    return list(found.items())


def sign(folder: Path, overrides: Sequence[str], reason: str = "", code: int = 0) -> None:
    """Note in a run's folder that the sweep that is on took it up, and how it failed if it did."""
    if ID not in os.environ:
        return
    record = {"sweep": os.environ.get(ID), "overrides": list(overrides), "time": time.time()}
    if reason:
        record |= {"reason": reason, "code": code}
    write_atomically(folder / "state.json", json.dumps(record).encode())


def state_of(folder: Path) -> State:
    """Tell what became of the run of a folder."""
    if result_of(folder) is not None:
        return State(FINISHED)
    if _is_locked(folder):
        return State(RUNNING)
    record = _read(folder / "state.json") or {}
    if record.get("reason"):
        return State(FAILED, str(record["reason"]), int(record["code"]))
    return State(INTERRUPTED if (folder / "config.yaml").exists() else NOT_STARTED)


def result_of(folder: Path) -> dict[str, Any] | None:
    """Return the stored result of a run that came to its end."""
    record = _read(folder / "result.json")
    if record is None or not folder.name.endswith(str(record.get("config_sha256"))[:10]):
        return None
    return record


def results_of_this(folder: Path) -> list[dict[str, Any]]:
    """Return the stored results of this sweep's finished runs."""
    found = [result_of(folder / job.run) for job in _jobs_of_this(folder, {}) if job.run]
    return [result for result in found if result is not None]


def lock_of(folder: Path) -> Path:
    """Return the file that whoever trains a run holds locked."""
    return folder.parent / f".{folder.name}.lock"


def _is_locked(folder: Path) -> bool:
    path = lock_of(folder)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def varied(all_overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return the keys whose values differ between runs, in the order typed."""
    typed = [dict(o.split("=", 1) for o in words if "=" in o) for words in all_overrides]
    keys = dict.fromkeys(key for values in typed for key in values)
    found = [key for key in keys if len({values.get(key) for values in typed}) > 1]
    return found or list(keys)[:1]


def label(overrides: Sequence[str], axes: Sequence[str]) -> str:
    """Return what one run chose on the axes: `loss=smoothed seed=2`."""
    return " ".join(o for o in overrides if o.split("=", 1)[0] in axes)


def job_label(folder: Path, overrides: Sequence[str]) -> str:
    """Return the name of a running job in this sweep's lines: `3/8 loss=smoothed seed=2`."""
    jobs = _jobs_of_this(folder, {})
    place = [i for i, job in enumerate(jobs, start=1) if job.overrides == tuple(overrides)]
    axes = varied([job.overrides for job in jobs]) or [o.split("=")[0] for o in overrides]
    words = label(overrides, axes)
    return f"{place[0]}/{len(jobs)} {words}" if place else words


def show_plan(jobs: Sequence[Job], states: Sequence[State], folder: Path) -> None:
    """Print the runs of a sweep before it starts, and what is done already."""
    axes = varied([job.overrides for job in jobs])
    table = _table(f"{folder.name}: {_runs(len(jobs))}", (*axes, "now"))
    words = {FAILED: "failed before, runs again", INTERRUPTED: "interrupted, goes on"}
    for i, (job, state) in enumerate(zip(jobs, states, strict=True), start=1):
        word = "refused" if job.reason else words.get(state.word, state.word)
        table.add_row(str(i), *_values(job.overrides, axes), Text(word))
    console.print(table)
    _tell_reasons([job.reason for job in jobs])


def summary(folder: Path) -> int:
    """Print what became of the runs of the sweep that just ended, and its answer.

    Args:
        folder: Of the study.

    Returns:
        The exit code: 1 if a run met a bug or a fault, else 2 if one was refused, else 0.
    """
    begin_job("", parallel=False)
    signed = {
        path.parent: record["overrides"]
        for path in folder.glob("*/state.json")
        if (record := _read(path)) and record["sweep"] == os.environ.get(ID)
    }
    jobs = _jobs_of_this(folder, signed)
    if not jobs:
        return 0
    states = [State(FAILED, j.reason, 2) if j.reason else state_of(folder / j.run) for j in jobs]
    _show_states(folder, jobs, states)
    finished = [job.run for job, state in zip(jobs, states, strict=True) if state.word == FINISHED]
    if finished:
        from en2py.sweeps.summary import (
            summarise,  # numpy, scipy: only where there is something to say
        )

        summarise(folder, finished)
    counts = {word: sum(state.word == word for state in states) for word in (FAILED, INTERRUPTED)}
    if counts[FAILED]:
        say(f"{counts[FAILED]} of {_runs(len(jobs))} failed; the same command tries them again")
    elif len(finished) < len(jobs):
        say(f"{len(finished)} of {_runs(len(jobs))} are finished; the same command does the rest")
    return min((state.code for state in states if state.word == FAILED), default=0)


def _jobs_of_this(folder: Path, signed: Mapping[Path, Sequence[str]]) -> list[Job]:
    """Return the runs of this sweep: as planned, else (a search has no plan) as they signed."""
    for name, jobs in read_plans(folder):
        if name == os.environ.get(ID):
            return jobs
    return [Job(tuple(words), path.name) for path, words in sorted(signed.items())]


def _show_states(folder: Path, jobs: Sequence[Job], states: Sequence[State]) -> None:
    axes = varied([job.overrides for job in jobs])
    table = _table(f"{folder.name}: {_runs(len(jobs))}", (*axes, "state"))
    for figure in (*_FIGURES, "time"):
        name = figure.replace("exact_match_renamed", "exact")
        table.add_column(name, justify="right", no_wrap=True)
    for i, (job, state) in enumerate(zip(jobs, states, strict=True), start=1):
        result = result_of(folder / job.run) if job.run else None
        cells = [Text(str(i)), *_values(job.overrides, axes), Text(state.word)]
        if result is not None and state.word == FINISHED:
            flat = {**result["best"], **{f"test/{k}": v for k, v in result["test"].items()}}
            cells += [Text(number(f, flat[f]) if f in flat else "") for f in _FIGURES]
            cells.append(Text(duration(result["seconds"] + result.get("test_seconds", 0.0))))
        table.add_row(*cells)
    console.print(table)
    _tell_reasons([state.reason for state in states])


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", justify="right")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _tell_reasons(reasons: Sequence[str]) -> None:
    """Say why runs failed, each reason once, with the numbers of its runs."""
    for reason in dict.fromkeys(filter(None, reasons)):
        numbers = ", ".join(str(i) for i, own in enumerate(reasons, start=1) if own == reason)
        say(f"{numbers}: {reason}")


def _values(overrides: Sequence[str], axes: Sequence[str]) -> list[Text]:
    typed = dict(o.split("=", 1) for o in overrides if "=" in o)
    return [Text(typed.get(axis, "")) for axis in axes]


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"
