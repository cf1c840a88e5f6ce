"""The plan of a sweep: its jobs, their labels and where they are stored."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from en2py.training.run_folder import SWEEP_ID, read_result


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


def write_plan(folder: Path, jobs: Sequence[Job]) -> None:
    """Note in the study's folder which runs this sweep means to do."""
    line = json.dumps({"sweep": os.environ.get(SWEEP_ID), "jobs": [asdict(job) for job in jobs]})
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
        jobs = [Job(tuple(job["overrides"]), job["run"], job["reason"]) for job in record["jobs"]]
        found.setdefault(str(record["sweep"]), []).extend(jobs)
    return list(found.items())


def results_of_this(folder: Path) -> list[dict[str, Any]]:
    """Return the stored results of this sweep's finished runs."""
    found = [read_result(folder / job.run) for job in _jobs_of_this(folder, {}) if job.run]
    return [result for result in found if result is not None]


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


def _jobs_of_this(folder: Path, signed: Mapping[Path, Sequence[str]]) -> list[Job]:
    """Return the runs of this sweep: as planned, else (a search has no plan) as they signed."""
    for name, jobs in read_plans(folder):
        if name == os.environ.get(SWEEP_ID):
            return jobs
    return [Job(tuple(words), path.name) for path, words in sorted(signed.items())]
