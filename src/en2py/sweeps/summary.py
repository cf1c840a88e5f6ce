"""The answer of a study: its finished runs as one table, from what they stored; nothing is scored.

Runs that differ in their seed alone are one row: means with 95 % t-intervals, differences from the
first row paired by seed, ranked by validation. A study is a folder of runs, or a CSV file with a
row a run, which is small enough to be kept when the folders are gone.
"""

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from en2py.config.run_name import is_archived, settings, without_seed
from en2py.console import console
from en2py.data.files import file_digest, read_csv, write_atomically
from en2py.errors import UserError
from en2py.evaluation.aggregation import (
    MODEL,
    RunMetrics,
    axes,
    fixed,
    make_rows,
    reference_name,
)
from en2py.evaluation.metrics.registry import SWEEP, figure_of, metric
from en2py.evaluation.report import write_report
from en2py.evaluation.report.summary import best_if_significant, summarize
from en2py.evaluation.report.tables import difference_cell, figure_cell
from en2py.evaluation.results import ResultRow, Results
from en2py.sweeps import plan
from en2py.training import run_folder

log = logging.getLogger(__name__)

_FACTS = ("run", "study", "seed", "vocab", "split_hash", "epochs", "steps", "seconds",
          "test_seconds")  # fmt: skip
_VERSION = "version/"
_OTHER_TOKENS = (
    "has another vocabulary than the first row, so its loss, perplexity and accuracy per token "
    "cannot be compared; bits per character can"
)
_OTHER_SPLIT = "is split into train, validation and test otherwise than the first row"


@dataclass(frozen=True)
class StoredRun:
    """A finished run, as it was stored.

    Attributes:
        facts: Name, study, seed, digest of the Python vocabulary, hash of the split, epochs, steps,
            seconds.
        settings: All that it chose, see `run_name.settings`; from a CSV what may vary.
        figures: `val/nll`, `train/nll`, `test/exact_match`, ... to value: validation and training
            sample at the best epoch.
        versions: Of the packages.
        curves: Rows of its metrics file; empty from a CSV.
    """

    facts: dict[str, str]
    settings: dict[str, str]
    figures: dict[str, float]
    versions: dict[str, str] = field(default_factory=dict)
    curves: list[dict[str, float]] = field(default_factory=list)
    typed: tuple[str, ...] = ()

    def of(self, part: str) -> dict[str, float]:
        """Return the figures of `val` or `test`."""
        names = (name for name in self.figures if name.startswith(f"{part}/"))
        return {name.removeprefix(f"{part}/"): self.figures[name] for name in names}


def read_study(path: Path) -> list[StoredRun]:
    """Return the finished runs of a folder or a CSV file, in the order of the largest sweep.

    Raises:
        UserError: If there is none.
    """
    if path.is_file():
        return _from_csv(path)
    if not path.is_dir():
        raise UserError(f"study={path}: there is no such folder or file")
    if (path / "config.yaml").is_file():
        raise UserError(f"study={path} is the folder of one run; its study is study={path.parent}")
    runs = _from_folder(path, [folder.name for folder in sorted(path.iterdir())])
    if not runs:
        n = len(list(path.glob("*/config.yaml")))
        raise UserError(f"study={path}: no finished run in it, {n} not finished")
    return runs


def summarise(
    folder: Path, names: Sequence[str] | None = None, target: Path | None = None
) -> Results:
    """Write the summary of a study and print it.

    Args:
        folder: The study's folder, or a CSV file with a row a run.
        names: Print these runs alone; the files hold all.
        target: Where the files go; None: into the study, or a folder named after the CSV file.
    """
    runs = read_study(folder)
    results = results_of(runs, folder.stem, _unfinished(folder) if folder.is_dir() else ())
    target = target or (folder if folder.is_dir() else folder.with_suffix(""))
    write_summary(target, runs, results)
    told = [run for run in runs if names is None or run.facts["run"] in names]
    _print(results if len(told) == len(runs) else results_of(told, folder.stem))
    if len(told) < len(runs):
        log.info(f"with {len(runs) - len(told)} other runs of this study:")
    pages = f"{target / 'summary.html'}, .md, .csv, pictures"
    log.info(f"summary: {pages}; a row a run: {target / 'runs.csv'}")
    return results


def write_summary(folder: Path, runs: Sequence[StoredRun], results: Results) -> None:
    """Write `summary.html`, `.md`, `pictures/`, `summary.csv` (configurations) and `runs.csv`."""
    write_report(folder, results, "summary")
    for name, text in (("summary.csv", _csv_of_rows(results)), ("runs.csv", csv_of(runs))):
        write_atomically(folder / name, text.encode("utf-8", "backslashreplace"))


def results_of(
    runs: Sequence[StoredRun], title: str, unfinished: Sequence[run_folder.State] = ()
) -> Results:
    """Return runs as the results of a comparison; the configuration of the first is the reference.

    Args:
        runs: At least one.
        title: Of the pages.
        unfinished: What became of the other runs of the study.
    """
    first = runs[0]
    figures = []
    for run in runs:
        apart = run.facts["vocab"] != first.facts["vocab"]
        split = run.facts["split_hash"] != first.facts["split_hash"]
        notes = [_OTHER_TOKENS] * apart + [_OTHER_SPLIT] * split
        test = run.of("test")
        figures.append(
            RunMetrics(
                name=run.facts["run"],
                kind=MODEL,
                seed=int(run.facts["seed"]),
                settings=run.settings,
                values={name: value for name, value in test.items() if name != "n"},
                validation=run.of("val"),
                notes=notes,
                not_comparable=[n for n in {*test, *run.of("val")} if metric(n).per_token]
                if apart
                else [],
            )
        )
    rank_by = "bpc" if any(run.not_comparable for run in figures) else "nll"
    splits = {run.facts["split_hash"] for run in runs}
    data: dict[str, Any] = {"name": first.settings.get("data", ""), "part": "test"}
    if len(splits) == 1:
        data["split_hash"] = first.facts["split_hash"]
        if "test/n" in first.figures:
            data["test pairs"] = int(first.figures["test/n"])
    if unfinished:
        data["unfinished"] = _counted(unfinished)
    return Results(
        title=title,
        data=data,
        axes=axes(figures),
        fixed=fixed(figures),
        rows=make_rows(figures, rank_by=rank_by),
        reference_row=reference_name(figures),
        oracles={},
        samples=[],
        attention=[],
        curves={run.facts["run"]: run.curves for run in runs if run.curves},
        signatures={},
        versions=first.versions,
    )


def csv_of(runs: Sequence[StoredRun]) -> str:
    """Return runs as CSV: what they chose, their figures, one row a run; `read_study` reads it.

    Of the settings it holds the choices of groups, what was typed, and all that varies.
    """
    every = dict.fromkeys(key for run in runs for key in run.settings)
    varied = {key for key in every if len({run.settings.get(key) for run in runs}) > 1}
    typed = {key for run in runs for key in run.typed}
    chosen = [key for key in every if "." not in key or key in varied | typed]
    names = sorted({name for run in runs for name in run.figures})
    versions = sorted({name for run in runs for name in run.versions})
    rows = [
        {
            **run.facts,
            **{key: run.settings.get(key, "") for key in chosen},
            **{name: repr(value) for name, value in run.figures.items()},
            **{_VERSION + name: version for name, version in run.versions.items()},
        }
        for run in runs
    ]
    return _csv([*_FACTS, *chosen, *names, *(_VERSION + name for name in versions)], rows)


def _from_csv(path: Path) -> list[StoredRun]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"run", "seed"} <= rows[0].keys():
        raise UserError(f"study={path}: not a table of runs, one row each, as runs.csv is")
    return [_from_row(row, path) for row in rows]


def _from_row(row: dict[str, str], path: Path) -> StoredRun:
    figures, chosen = {}, {}
    for key, cell in row.items():
        if key in _FACTS or key.startswith(_VERSION) or not cell:
            continue
        if key.startswith(("val/", "train/", "test/", "gap/")):
            try:
                figures[key] = float(cell)
            except ValueError:
                raise UserError(f"study={path}: {key} of {row['run']} is no number: {cell!r}") \
                    from None  # fmt: skip
        else:
            chosen[key] = cell
    versions = {k.removeprefix(_VERSION): v for k, v in row.items() if k.startswith(_VERSION)}
    return StoredRun({key: row.get(key) or "" for key in _FACTS}, chosen, figures, versions)


def _from_folder(study: Path, names: Sequence[str]) -> list[StoredRun]:
    # As the largest sweep ordered them, the first of equals: it is the one that asks it all.
    plans = sorted(plan.read_plans(study), key=lambda plan: -len(plan[1]))
    planned = [job.run for _, jobs in plans for job in jobs]
    order = {name: i for i, name in reversed(list(enumerate(planned)))}
    found = [run for name in names if (run := _from_run(study / name)) is not None]
    return sorted(found, key=lambda run: (order.get(run.facts["run"], len(order)), _by(run)))


def _unfinished(study: Path) -> list[run_folder.State]:
    """Return what became of the runs without a result: those begun, and those planned last."""
    _, last = next(reversed(plan.read_plans(study)), ("", []))
    refused = [run_folder.State(run_folder.FAILED, job.reason, 2) for job in last if job.reason]
    begun = [folder.parent.name for name in ("config.yaml", "state.json")
             for folder in study.glob(f"*/{name}")]  # fmt: skip
    names = dict.fromkeys([*(job.run for job in last if not job.reason), *sorted(begun)])
    states = [run_folder.read_state(study / name) for name in names if not is_archived(name)]
    return refused + [state for state in states if state.status != run_folder.FINISHED]


def _counted(states: Sequence[run_folder.State]) -> str:
    """Return `2 failed (out of memory), 1 interrupted`."""
    found = []
    for word in dict.fromkeys(state.status for state in states):
        own = [state for state in states if state.status == word]
        reasons = "; ".join(dict.fromkeys(filter(None, (state.reason for state in own))))
        found.append(f"{len(own)} {word}" + (f" ({reasons})" if reasons else ""))
    return ", ".join(found)


def _by(run: StoredRun) -> tuple[str, int]:
    return without_seed(run.facts["run"]), int(run.facts["seed"])


def _from_run(folder: Path) -> StoredRun | None:
    result = run_folder.read_result(folder)
    if result is None:
        return None
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=True)
    figures = {k: v for k, v in result["best"].items() if "/" in k}
    figures |= {f"test/{name}": value for name, value in result["test"].items()}
    vocab = folder / "vocab" / "tgt.json"
    facts = {key: str(result.get(key, "")) for key in _FACTS}
    facts |= {"run": folder.name, "vocab": file_digest(vocab)[:12] if vocab.exists() else ""}
    typed = tuple(o.lstrip("+").split("=")[0] for o in result["overrides"])
    return StoredRun(
        facts=facts,
        settings=settings(config, result["choices"]),
        figures={k: float(v) for k, v in figures.items() if isinstance(v, int | float)},
        versions=result["versions"],
        curves=_curves(folder / "metrics.csv"),
        typed=typed,
    )


def _curves(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file, epochs counted from 1."""
    try:
        rows = [{k: float(v) for k, v in row.items()} for row in read_csv(path)]
    except (FileNotFoundError, ValueError):
        return []
    return [{**row, "epoch": row["epoch"] + 1} for row in rows if "epoch" in row]


def _csv_of_rows(results: Results) -> str:
    """Return configurations as CSV: mean, ends, number of runs, difference and its ends."""
    table = []
    for row in results.rows:
        cells: dict[str, object] = {**row.settings, "runs": len(row.runs)}
        cells["best"] = "yes" if row.name == best_if_significant(results) else ""
        figures = {**{f"val/{k}": f for k, f in row.validation.items()}, **row.figures}
        for name, figure in figures.items():
            label = name if name.startswith("val/") else f"test/{name}"
            cells |= {label: figure.value, f"{label} low": figure.low, f"{label} high": figure.high}
            if (difference := row.differences.get(name)) is not None:
                ends = {"low": difference.low, "high": difference.high}
                cells[f"{label} difference"] = difference.value
                cells |= {f"{label} difference {end}": value for end, value in ends.items()}
        table.append({key: "" if value is None else value for key, value in cells.items()})
    return _csv(list(dict.fromkeys(key for cells in table for key in cells)), table)


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print(results: Results) -> None:
    names = [name for name in SWEEP if any(figure_of(row, name) for row in results.rows)]
    table = Table(title=f"{results.title}: the answer", title_justify="left")
    for column in (*(results.axes or ["configuration"]), "runs"):
        table.add_column(column, overflow="fold")
    for name in names:
        table.add_column(metric(name).head, justify="right")
        if len(results.rows) > 1:
            table.add_column("difference", justify="right")
    best = best_if_significant(results)
    for row in results.rows:
        chosen = [row.settings.get(axis, "") for axis in results.axes] or [row.name]
        if row.name == best:
            chosen[0] += " (best)"
        cells = [*chosen, str(len(row.runs)), *_cells(row, names, results)]
        table.add_row(*map(Text, cells))
    console.print(table)
    for paragraph in summarize(results):
        log.info(paragraph)


def _cells(row: ResultRow, names: Sequence[str], results: Results) -> list[str]:
    found = []
    for name in names:
        cell = figure_cell(name, figure_of(row, name))
        found.append("\n".join([cell.text, *cell.small]))
        if len(results.rows) > 1:
            cell = difference_cell(name, row.differences.get(name))
            is_reference = row.name == results.reference_row
            found.append("" if is_reference else "\n".join([cell.text + cell.mark, *cell.small]))
    return found
