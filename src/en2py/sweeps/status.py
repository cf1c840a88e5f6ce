"""Print the plan of a sweep, its finished runs, and the states of all runs at its end.

The state of a run is read from its folder, so it does not depend on the launcher:

| file | content |
|---|---|
| `result.json` | the result of a finished run |
| `state.json` | the last sweep that executed the run, and why the run failed if it did |
| `sweeps.jsonl`, in the study's folder | the jobs of each sweep, in order |
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from en2py.console import Column, counted, duration, print_table, set_job
from en2py.sweeps.plan import Job, numbered, planned_jobs, varied
from en2py.training import run_folder

log = logging.getLogger(__name__)


def print_finished(result: Mapping[str, Any], study: Path, n_parallel: int) -> None:
    """Print what a sweep's run has reached, and how long the rest of the sweep will take."""
    from en2py.evaluation.metrics.registry import SWEEP, format_value, metric

    values = _metrics(result)
    scores = ", ".join(
        f"{metric(n).label} {format_value(n, values[n])}".replace(" ", "\u00a0")
        for n in SWEEP
        if n in values
    )
    time = duration(result["seconds"] + result["test_seconds"])
    log.info(f"finished in {time}, {result['end']}: {scores}")
    if left := remaining_time(study, n_parallel):
        log.info(left)


def remaining_time(study: Path, n_parallel: int, n_left: int | None = None) -> str:
    """Return how long the rest of this sweep will take, from the mean of its finished runs.

    The time of a run is that of training, validation, test and the execution of programs.

    Args:
        study: The folder of the sweep.
        n_parallel: Number of runs at the same time.
        n_left: Number of runs to train; None: the planned ones that have not ended in this sweep.
    """
    runs = {job.run for job in planned_jobs(study) if job.run}
    results = [run_folder.read_result(study / run) for run in runs]
    seconds = [r["seconds"] + r["test_seconds"] for r in results if r is not None]
    if n_left is None:
        n_left = sum(
            result is None and not has_ended(study / run)
            for run, result in zip(runs, results, strict=True)
        )
    if not n_left:
        return ""
    if not seconds:
        return "the time is estimated when the first run is finished"
    mean = sum(seconds) / len(seconds)
    rounds = -(-n_left // n_parallel)
    return (
        f"{len(seconds)} of {counted(len(runs), 'run')} finished; about "
        f"{duration(mean * rounds)} left ({duration(mean)} a run)"
    )


def has_ended(folder: Path) -> bool:
    """Return whether this sweep finished a run; a state of an earlier sweep does not count."""
    ended = (run_folder.FINISHED, run_folder.FAILED, run_folder.PRUNED)
    return run_folder.is_of_this_sweep(folder) and run_folder.read_state(folder).status in ended


def print_plan(
    jobs: Sequence[Job], states: Sequence[run_folder.State], fresh: Sequence[bool], folder: Path
) -> None:
    """Print the jobs of a sweep and their states before it starts."""
    words = {
        run_folder.FAILED: "failed before, runs again",
        run_folder.INTERRUPTED: "interrupted, resumes",
        run_folder.PRUNED: "pruned by a search, resumes",
    }
    rows = []
    for job, state, anew in zip(jobs, states, fresh, strict=True):
        word = words.get(state.status, state.status)
        if anew and state.status not in (run_folder.NOT_STARTED, run_folder.RUNNING):
            word = f"{state.status} before, starts anew"
        rows.append(["refused" if job.reason else word])
    _print_jobs(folder, jobs, ["now"], rows, [job.reason for job in jobs])


def print_summary(folder: Path) -> int:
    """Print the states of the runs of this sweep, and the summary of the finished ones.

    Returns:
        The exit code: 1 if a run had a bug or a fault, else 2 if one was refused, else 0.
    """
    set_job("")
    sweep = os.environ.get(run_folder.SWEEP_ID)
    jobs = planned_jobs(folder) or [
        Job(tuple(record["overrides"]), path.parent.name)
        for path in sorted(folder.glob("*/state.json"))
        if (record := run_folder.read_record(path)) and record["sweep"] == sweep
    ]
    if not jobs:
        return 0
    jobs = [job for _, job in sorted(numbered(jobs), key=lambda item: item[0])]
    states = [job.state(folder) for job in jobs]
    _print_states(folder, jobs, states)
    n_refused = sum(map(_is_refused, states))
    n_failed = sum(state.status == run_folder.FAILED for state in states) - n_refused
    done = [state.status == run_folder.FINISHED for state in states]
    finished = [job.run for job, is_done in zip(jobs, done, strict=True) if is_done]
    again = "the same command"
    if any(override.startswith("fresh=") for job in jobs for override in job.overrides):
        again += " without fresh=true"
    n_ended = len(finished) + sum(state.status == run_folder.PRUNED for state in states)
    if finished:
        from en2py.sweeps.study import summarize_study  # numpy and scipy take a second

        summarize_study(folder, finished)
    runs = counted(len(jobs), "run")
    if n_failed:
        log.info(f"{n_failed} of {runs} failed; {again} retries them")
    elif n_ended + n_refused < len(jobs) and not any(job.trial for job in jobs):
        log.info(f"{len(finished)} of {runs} finished; {again} resumes")
    if n_refused:
        log.info(f"{n_refused} of {runs} refused; correct what is named above")
    return min((state.code for state in states if state.status == run_folder.FAILED), default=0)


def _is_refused(state: run_folder.State) -> bool:
    """Return whether a mistake ended a run, in its settings or in the data that they name."""
    return state.status == run_folder.FAILED and state.code == 2


def _print_states(folder: Path, jobs: Sequence[Job], states: Sequence[run_folder.State]) -> None:
    from en2py.evaluation.metrics.registry import SWEEP_RUNS, metric

    rows = []
    for job, state in zip(jobs, states, strict=True):
        row = ["refused" if _is_refused(state) else state.status]
        if job.run and (result := run_folder.read_result(folder / job.run)) is not None:
            values = _metrics(result)
            row += [metric(n).write(values[n]) if n in values else "" for n in SWEEP_RUNS]
            row.append(duration(result["seconds"] + result["test_seconds"]))
        rows.append(row)
    columns = ["state", *(metric(name).head for name in SWEEP_RUNS), "time"]
    _print_jobs(folder, jobs, columns, rows, [state.reason for state in states])


def _print_jobs(
    folder: Path,
    jobs: Sequence[Job],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    reasons: Sequence[str],
) -> None:
    """Print a row for each job, and below the table each reason of a failure once."""
    searched = [key for job in jobs for key in job.searched]
    axes = list(dict.fromkeys(searched)) or varied([job.overrides for job in jobs])
    texts = [Column(text, numeric=False) for text in ("", *axes, columns[0])]
    lines = []
    places = [i for i, _ in numbered(jobs)]
    for i, job, row in zip(places, jobs, rows, strict=True):
        typed = dict(o.split("=", 1) for o in job.overrides if "=" in o)
        cells = [str(i), *(typed.get(axis, "") for axis in axes), *row]
        lines.append(cells + [""] * (len(texts) + len(columns) - 1 - len(cells)))
    n = counted(len(jobs), "trial" if searched else "run")
    print_table(f"{folder.name}: {n}", [*texts, *map(Column, columns[1:])], lines)
    for reason in dict.fromkeys(filter(None, reasons)):
        numbers = ", ".join(
            str(i) for i, other in zip(places, reasons, strict=True) if other == reason
        )
        log.info(f"{numbers}: {reason}")


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    return {**result["best"], **result["test"]}
