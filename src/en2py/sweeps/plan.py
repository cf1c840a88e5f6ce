"""The plan of a sweep: its jobs and their labels, stored in the study's folder."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from en2py.training.run_folder import FAILED, SWEEP_ID, State, read_state


@dataclass(frozen=True)
class Job:
    """A run of a sweep.

    Attributes:
        overrides: Those of the run.
        run: Its name; empty if it is refused.
        reason: Why it is refused before it starts; empty if it is not.
        trial: Of a search: its number, from 1; 0 outside of one.
        n_trials: Of a search: their number.
        searched: Of a search: the keys whose values it draws.
    """

    overrides: tuple[str, ...]
    run: str
    reason: str = ""
    trial: int = 0
    n_trials: int = 0
    searched: tuple[str, ...] = ()

    def state(self, study: Path) -> State:
        """Return the state of its run; a refused one has failed."""
        return read_state(study / self.run) if self.run else State(FAILED, self.reason, 2)

    def trial_label(self) -> str:
        """Return the prefix of the lines of a trial: `trial 3/24 optimizer.lr=0.001`."""
        return f"trial {self.trial}/{self.n_trials} {label(self.overrides, self.searched)}"


def write_plan(folder: Path, jobs: Sequence[Job]) -> None:
    """Append the jobs of this sweep to `sweeps.jsonl`."""
    line = json.dumps({"sweep": os.environ.get(SWEEP_ID), "jobs": [asdict(job) for job in jobs]})
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "sweeps.jsonl", "a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        start = b"\n" if file.read() not in (b"", b"\n") else b""  # after a cut line
        file.write(start + line.encode() + b"\n")


def read_plans(folder: Path) -> list[tuple[str, list[Job]]]:
    """Return (id, jobs) of each sweep of a study, oldest first."""
    plans: dict[str, list[Job]] = {}
    try:
        lines = (folder / "sweeps.jsonl").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):  # the study is a CSV file
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # the last line of a sweep that was killed while writing it
            continue
        plans.setdefault(str(record["sweep"]), []).extend(map(_job, record["jobs"]))
    return list(plans.items())


def _job(record: Mapping[str, Any]) -> Job:
    """Return a stored job; those of earlier versions have other fields too, or lack some."""
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in record.items()
        if key in Job.__annotations__
    }
    return Job(**fields)


def sweeps_by_size(folder: Path) -> list[list[Job]]:
    """Return the jobs of each sweep of a study, largest first; those of equal size as started."""
    return sorted((jobs for _, jobs in read_plans(folder)), key=len, reverse=True)  # stable


def planned_order(folder: Path) -> list[str]:
    """Return the runs of `sweeps_by_size`; a run of several sweeps occurs once."""
    return list(dict.fromkeys(job.run for jobs in sweeps_by_size(folder) for job in jobs))


def planned_axes(folder: Path, run: str) -> list[str]:
    """Return the keys that vary in the largest sweep of a run, whether its jobs finished or not."""
    for jobs in sweeps_by_size(folder):
        if len(jobs) > 1 and run in (job.run for job in jobs):
            return [key.lstrip("+") for key in varied([job.overrides for job in jobs])]
    return []


def planned_jobs(folder: Path) -> list[Job]:
    """Return the jobs of this sweep; of a search, the trials so far."""
    return dict(read_plans(folder)).get(os.environ.get(SWEEP_ID, ""), [])


def planned_run(folder: Path, overrides: Sequence[str]) -> str:
    """Return the name of a run of this sweep by its overrides; empty if none is planned."""
    jobs = reversed(planned_jobs(folder))
    return next((job.run for job in jobs if job.overrides == tuple(overrides)), "")


def numbered(jobs: Sequence[Job]) -> list[tuple[int, Job]]:
    """Return jobs with their numbers; a trial has one among those of all processes of a search."""
    return [(job.trial or place, job) for place, job in enumerate(jobs, start=1)]


def varied(all_overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return the keys whose values differ between jobs, in the order typed."""
    typed = [dict(o.split("=", 1) for o in overrides if "=" in o) for overrides in all_overrides]
    keys = dict.fromkeys(key for values in typed for key in values)
    differing = [key for key in keys if len({values.get(key) for values in typed}) > 1]
    return differing or list(keys)[:1]


def label(overrides: Sequence[str], axes: Sequence[str]) -> str:
    """Return the overrides of the varied keys: `loss=smoothed seed=2`."""
    return " ".join(o for o in overrides if o.split("=", 1)[0] in axes)


def job_label(folder: Path, overrides: Sequence[str]) -> str:
    """Return the label of a job of this sweep: `3/8 loss=smoothed seed=2`."""
    planned = planned_jobs(folder)
    for job in reversed(planned):
        if job.trial and job.overrides == tuple(overrides):
            return job.trial_label()
    jobs = [job.overrides for job in planned]
    text = label(overrides, varied(jobs) or [o.split("=")[0] for o in overrides])
    if tuple(overrides) in jobs:
        return f"{jobs.index(tuple(overrides)) + 1}/{len(jobs)} {text}"
    return text
