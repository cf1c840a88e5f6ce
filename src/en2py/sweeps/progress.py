"""A sweep: which runs it has, what became of each, and the tables that say so.

A run's state is read from its own folder, so it is the same whatever launched the run, and still
there when the launcher was killed:

| file | says |
|---|---|
| `result.json` | finished |
| `state.json` | which sweep took the run up last, and why it failed if it did |
| `sweeps.jsonl`, in the study's folder | the runs that each sweep meant to do, in order |
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from en2py.console import console, duration, set_job
from en2py.evaluation.metrics.registry import FINISHED_RUN, SWEEP_RUNS, format_value, metric
from en2py.sweeps.plan import Job, _jobs_of_this, varied
from en2py.training.run_folder import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    SWEEP_ID,
    State,
    read_record,
    read_result,
    read_state,
)

log = logging.getLogger(__name__)


def print_finished(result: Mapping[str, Any]) -> None:
    """Print the time and the main scores of a sweep's run in one line."""
    values = result["best"] | {f"test/{name}": value for name, value in result["test"].items()}
    scores = ", ".join(
        f"{metric(n).label} {format_value(n, values[n])}" for n in FINISHED_RUN if n in values
    )
    log.info(f"finished in {duration(result['seconds'] + result['test_seconds'])}: {scores}")


def show_plan(jobs: Sequence[Job], states: Sequence[State], folder: Path) -> None:
    """Print the runs of a sweep before it starts, and what is done already."""
    axes = varied([job.overrides for job in jobs])
    table = _table(f"{folder.name}: {_runs(len(jobs))}", (*axes, "now"))
    words = {FAILED: "failed before, runs again", INTERRUPTED: "interrupted, resumes"}
    for i, (job, state) in enumerate(zip(jobs, states, strict=True), start=1):
        word = "refused" if job.reason else words.get(state.status, state.status)
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
    set_job("")
    signed = {
        path.parent: record["overrides"]
        for path in folder.glob("*/state.json")
        if (record := read_record(path)) and record["sweep"] == os.environ.get(SWEEP_ID)
    }
    jobs = _jobs_of_this(folder, signed)
    if not jobs:
        return 0
    states = [State(FAILED, j.reason, 2) if j.reason else read_state(folder / j.run) for j in jobs]
    _show_states(folder, jobs, states)
    finished = [
        job.run for job, state in zip(jobs, states, strict=True) if state.status == FINISHED
    ]
    if finished:
        from en2py.sweeps.summary import (
            summarise,  # numpy, scipy: only where there is something to say
        )

        summarise(folder, finished)
    counts = {word: sum(state.status == word for state in states) for word in (FAILED, INTERRUPTED)}
    if counts[FAILED]:
        log.info(
            f"{counts[FAILED]} of {_runs(len(jobs))} failed; the same command tries them again"
        )
    elif len(finished) < len(jobs):
        log.info(
            f"{len(finished)} of {_runs(len(jobs))} are finished; the same command does the rest"
        )
    return min((state.code for state in states if state.status == FAILED), default=0)


def _show_states(folder: Path, jobs: Sequence[Job], states: Sequence[State]) -> None:
    axes = varied([job.overrides for job in jobs])
    table = _table(f"{folder.name}: {_runs(len(jobs))}", (*axes, "state"))
    for label in (*(metric(name).label for name in SWEEP_RUNS), "time"):
        table.add_column(label, justify="right", no_wrap=True)
    for i, (job, state) in enumerate(zip(jobs, states, strict=True), start=1):
        result = read_result(folder / job.run) if job.run else None
        cells = [Text(str(i)), *_values(job.overrides, axes), Text(state.status)]
        if result is not None and state.status == FINISHED:
            flat = {**result["best"], **{f"test/{k}": v for k, v in result["test"].items()}}
            cells += [Text(format_value(n, flat[n]) if n in flat else "") for n in SWEEP_RUNS]
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
        log.info(f"{numbers}: {reason}")


def _values(overrides: Sequence[str], axes: Sequence[str]) -> list[Text]:
    typed = dict(o.split("=", 1) for o in overrides if "=" in o)
    return [Text(typed.get(axis, "")) for axis in axes]


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"
