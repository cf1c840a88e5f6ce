"""The table at the end of a sweep: one row a run, what varied as columns."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from en2py.show import console, number, say

_ID = "EN2PY_SWEEP"  # inherited by the worker processes of a launcher
_FIGURES = ("val/nll", "test/nll", "test/exact_match_renamed", "test/bleu", "test/compiles")


def begin() -> None:
    """Give the sweep of this process a name that its runs can sign with."""
    os.environ[_ID] = f"{os.getpid()}-{os.urandom(4).hex()}"


def sign(folder: Path, run: str, overrides: list[str]) -> None:
    """Note in the study's folder that a run belongs to the sweep that is going on, if one is."""
    if name := os.environ.get(_ID):
        line = json.dumps({"sweep": name, "run": run, "overrides": overrides})
        with open(folder / "sweeps.jsonl", "a", encoding="utf-8") as file:
            file.write(line + "\n")  # one short write: lines of parallel runs do not mix


def summary(folder: Path) -> None:
    """Print the runs of the sweep that just ended."""
    try:
        lines = (folder / "sweeps.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    records = [json.loads(line) for line in lines]
    runs = {r["run"]: r["overrides"] for r in records if r["sweep"] == os.environ.get(_ID)}
    if not runs:
        return
    results = {run: _result(folder / run / "result.json") for run in runs}
    typed = {run: dict(o.split("=", 1) for o in words if "=" in o) for run, words in runs.items()}
    axes = _varied(typed)
    table = Table(title=f"{folder.name}: {len(runs)} runs", title_justify="left")
    for column in (*axes, "state"):
        table.add_column(column, overflow="fold")
    for figure in _FIGURES:
        table.add_column(figure.replace("exact_match_renamed", "exact"), justify="right")
    ranked = sorted(runs, key=lambda run: (results[run] or {}).get("val/nll", float("inf")))
    for run in ranked:
        figures = results[run]
        cells = [Text(typed[run].get(axis, "")) for axis in axes]
        state = Text("finished" if figures else "not finished")
        numbers = [number(f, figures[f]) if figures and f in figures else "" for f in _FIGURES]
        table.add_row(*cells, state, *numbers)
    console.print(table)
    say("ranked by val/nll; test figures are of each run's best checkpoint")


def _varied(runs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the overrides that differ between runs."""
    keys = dict.fromkeys(key for values in runs.values() for key in values)
    varied = [key for key in keys if len({values.get(key) for values in runs.values()}) > 1]
    return varied or list(keys)[:1]


def _result(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    test = {f"test/{name}": value for name, value in record["test"].items()}
    return {"val/nll": record["best"].get("val/nll", math.inf), **test}
