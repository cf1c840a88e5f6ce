"""Summarize the finished runs of a study in one table, from their stored results.

Runs that differ only in the seed form one row: means with 95 % t-intervals, differences from the
reference row paired by seed, ranked by validation. A study is a folder of runs, or a CSV file with
one row per run, which can be kept without the folders.
"""

import logging
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from en2py.config.run_name import setting
from en2py.console import Column, print_table
from en2py.data.files import csv_text, folder_size, make_folder, write_atomically
from en2py.evaluation.aggregation import make_rows
from en2py.evaluation.configurations import (
    REFERENCE,
    RunMetrics,
    axes,
    fixed,
    naming_axes,
    reference_name,
)
from en2py.evaluation.metrics.registry import SWEEP, figure_of, listed, metric
from en2py.evaluation.report import write_report
from en2py.evaluation.report.summary import best_if_significant, notes_of, ranked_by, summarize
from en2py.evaluation.report.tables import difference_cell, figure_cell
from en2py.evaluation.results import MODEL, Results
from en2py.sweeps.plan import planned_axes, read_plans
from en2py.sweeps.stored_runs import (
    TOO_LONG,
    VALIDATION_LIMIT,
    StoredRun,
    csv_of,
    read_study,
    renamed_folders,
)
from en2py.training import run_folder

log = logging.getLogger(__name__)

_REASON = 100  # characters of why a run failed, which the table of its sweep prints in full
_SHARED = "these runs"  # label of the settings that other runs of the study do not have
_OTHER_VOCABULARY = (
    "another vocabulary than that of the reference row, so loss, perplexity and accuracy per token "
    "cannot be compared; bits per character can"
)
_UNKNOWN_VOCABULARY = (
    "its vocabulary or that of the reference row is not known: only if they are equal, loss, "
    "perplexity and accuracy per token can be compared"
)
_OTHER_TRAINING = "other training pairs than the reference row"
_OTHER_PAIRS = "other validation and test pairs than the reference row, so lower need not be better"


def summarize_study(
    folder: Path, names: Sequence[str] | None = None, target: Path | None = None
) -> Results:
    """Print the summary of a study, and write it as a report and as CSV files.

    A sweep is summarized over its own runs; the other runs of the study get a second table, and
    enter neither the ranking nor the effects. Without a sweep, the other runs are those with
    other held-out pairs than all runs of the largest sweep.

    The files are `summary.html`, `summary.md`, `pictures/`, `summary.csv` with a row for each
    configuration and `runs.csv` with a row for each run.

    Args:
        folder: The study's folder, or a CSV file with a row for each run.
        names: The runs of a sweep, in its order; None: the runs of all sweeps.
        target: Folder of the files; None: the study, or a folder named after the CSV file.
    """
    runs = read_study(folder)
    included = _runs_of_sweeps(folder, runs) if names is None else _in_order(runs, names)
    others = [run for run in runs if run not in included]
    search = _search_of(folder, included, names)
    keys = search["best"]["params"] if search else planned_axes(folder, included[0].facts["run"])
    searched = [key for key in keys if key in included[0].settings]
    unfinished = _unfinished(folder) if folder.is_dir() else ()
    results = results_of(included, folder.stem, unfinished, searched=searched)
    if others:
        results = _with_others(results, included, others)
    results = replace(results, search=search)
    target = target or (folder if folder.is_dir() else folder.with_suffix(""))
    make_folder(target, "folder")
    write_report(target, results, "summary")
    for name, text in (("summary.csv", _csv_of_rows(results)), ("runs.csv", csv_of(runs))):
        write_atomically(target / name, text.encode("utf-8", "backslashreplace"))
    _print(results)
    _log_search(results.search)
    pages = f"{target / 'summary.html'}, .md, .csv, pictures"
    log.info(f"summary: {pages}; one row per run: {target / 'runs.csv'}")
    if folder.is_dir():
        log.info(_size(folder))
    return results


def _search_of(
    folder: Path, included: Sequence[StoredRun], names: Sequence[str] | None
) -> dict[str, Any]:
    """Return the result of the last search of a study if the summary is of this search.

    The summary of a sweep (`names`) is, if the sweep is the search; that of all runs is, if it
    contains the search's best run.
    """
    record = run_folder.read_record(folder / "search.json") or {}
    if names is None:
        is_own = record.get("best", {}).get("run") in {run.facts["run"] for run in included}
    else:
        is_own = record.get("sweep") == os.environ.get(run_folder.SWEEP_ID)
    return record if is_own else {}


def _with_others(
    results: Results, included: Sequence[StoredRun], others: Sequence[StoredRun]
) -> Results:
    """Add rows of other runs, and name the settings in which all own runs differ from them.

    They have no differences, which would be those from the first of them.
    """
    metrics = [_metrics(run, included[0]) for run in (*included, *others)]
    varied = axes(metrics)
    rows = make_rows(metrics[len(included) :], varied=varied, base=included[0].settings)
    missing = [key for key in varied if key not in results.axes]
    shared = [f"{key}={setting(included[0].settings, key)}" for key in missing]
    data = {**results.data, **({_SHARED: ", ".join(shared)} if shared else {})}
    return replace(results, others=[replace(row, differences={}) for row in rows], data=data)


def _in_order(runs: Sequence[StoredRun], names: Sequence[str]) -> list[StoredRun]:
    by_name = {run.facts["run"]: run for run in runs}
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name]


def _runs_of_sweeps(folder: Path, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the runs with the held-out pairs of the largest sweep; all without a sweep.

    Of equal sizes it is the last one: a sweep that was started again after its data had changed.
    """
    plans = sorted(reversed(read_plans(folder)), key=lambda plan: len(plan[1]), reverse=True)
    planned = [_in_order(runs, [job.run for job in jobs]) for _, jobs in plans]
    largest = next(filter(None, planned), runs)
    return [run for run in runs if any(_same_held_out(run, other) for other in largest)]


def results_of(
    runs: Sequence[StoredRun],
    title: str,
    unfinished: Sequence[run_folder.State] = (),
    searched: Iterable[str] = (),
) -> Results:
    """Return the content of a report on runs; the configuration of the first is the reference."""
    first = runs[0]
    metrics = [_metrics(run, first) for run in runs]
    varied = axes(metrics) or list(searched)
    rank_by = "bpc" if any(m.not_comparable for m in metrics) else "nll"
    data: dict[str, Any] = {"name": first.settings.get("data", ""), "part": "test"}
    if len({run.facts["split_hash"] for run in runs}) == 1:
        data["split_hash"] = first.facts["split_hash"]
        if "test/n" in first.metrics:
            data["test pairs"] = int(first.metrics["test/n"])
    if unfinished:
        data["unfinished"] = _count_states(unfinished)
    return Results(
        title=title,
        data=data,
        axes=varied,
        fixed=fixed(metrics),
        rows=make_rows(metrics, rank_by=rank_by, varied=varied),
        reference_row=reference_name(metrics, varied),
        oracles={},
        samples=[],
        attention=[],
        curves={run.facts["run"]: run.curves for run in runs if run.curves},
        signatures={},
        versions=_versions(runs),
    )


def _versions(runs: Sequence[StoredRun]) -> dict[str, str]:
    """Return the version of each package, all of them where runs differ."""
    names = dict.fromkeys(name for run in runs for name in run.versions)
    found = {name: {run.versions.get(name, "") for run in runs} - {""} for name in names}
    return {name: listed(sorted(versions)) for name, versions in found.items() if versions}


def _metrics(run: StoredRun, first: StoredRun) -> RunMetrics:
    test, validation = run.of("test"), run.of("val")
    notes, not_comparable = [], []
    vocab, reference_vocab = run.facts["vocab"], first.facts["vocab"]
    if run is not first and not (vocab and reference_vocab):
        notes.append(_UNKNOWN_VOCABULARY)
    elif vocab != reference_vocab:
        notes.append(_OTHER_VOCABULARY)
    if vocab != reference_vocab:
        not_comparable = [name for name in {*test, *validation} if metric(name).per_token]
    limit = run.settings.get(VALIDATION_LIMIT, "1.0")
    if limit not in ("0", "1.0"):
        notes.append(f"validation figures are over {VALIDATION_LIMIT}={limit}, not over all pairs")
    if not _same_held_out(run, first):
        notes.append(_OTHER_PAIRS)
        has_other_pairs = True
    else:
        if run.facts["split_hash"] != first.facts["split_hash"]:
            notes.append(_OTHER_TRAINING)
        notes += _notes_on_long_pairs(run, first)
        other_limit = limit != first.settings.get(VALIDATION_LIMIT, "1.0")
        has_other_pairs = other_limit or _leaves_out_others(run, first)
    return RunMetrics(
        name=run.facts["run"],
        kind=MODEL,
        seed=int(run.facts["seed"]),
        settings=run.settings,
        values={name: value for name, value in test.items() if name != "n"},
        validation=validation,
        notes=notes,
        not_comparable=not_comparable,
        has_other_pairs=has_other_pairs,
        typed=run.typed,
        machine=run.facts["machine"],
    )


def _same_held_out(run: StoredRun, other: StoredRun) -> bool:
    """Return whether two runs have equal pairs in validation and test; older runs lack the hash."""
    one, two = run.facts["held_out_hash"], other.facts["held_out_hash"]
    return one == two if one and two else run.facts["split_hash"] == other.facts["split_hash"]


def _leaves_out_others(run: StoredRun, first: StoredRun) -> bool:
    """Return whether more than 1 % of the held-out pairs are too long for one of the models only.

    The numbers are those of validation and test; they are compared with the size of the test split.
    """
    ours, theirs = ([row.facts[name] for name in TOO_LONG] for row in (run, first))
    known = [(float(a), float(b)) for a, b in zip(ours, theirs, strict=True) if a and b]
    return max((abs(a - b) for a, b in known), default=0) > 0.01 * first.metrics.get("test/n", 0)


def _notes_on_long_pairs(run: StoredRun, first: StoredRun) -> list[str]:
    """Return a note if token metrics leave out other pairs than those of the reference row.

    Equal numbers may be other pairs, if the tokens or the limits of the model are others.
    """
    ours, theirs = ([row.facts[name] or "?" for name in TOO_LONG] for row in (run, first))
    limits = [key for key in {**run.settings, **first.settings}
              if key.startswith(("tokenizer", "model.max_"))]  # fmt: skip
    same = all(run.settings.get(key) == first.settings.get(key) for key in limits)
    if (same and (ours == theirs or "?" in (*ours, *theirs))) or {*ours, *theirs} in ({"0"}, {"?"}):
        return []
    return [
        "loss, perplexity, accuracy and bits per character leave out pairs that are too long for "
        f"the model, {ours[0]} of validation and {ours[1]} of test, in the reference row "
        f"{theirs[0]} and {theirs[1]}: evaluate.py ckpt_path=STUDY compares on the pairs that "
        "every model reads"
    ]


def _unfinished(study: Path) -> list[run_folder.State]:
    """Return the states of the started runs and of those of the last sweep, if not finished."""
    _, jobs = next(reversed(read_plans(study)), ("", []))
    refused = [job.state(study) for job in jobs if job.reason]
    started = [run.name for run in run_folder.started_runs(study)]
    names = dict.fromkeys([*(job.run for job in jobs if not job.reason), *started])
    renamed = renamed_folders(study)
    states = [run_folder.read_state(study / name) for name in names if name not in renamed]
    return refused + [state for state in states if state.status != run_folder.FINISHED]


def _size(study: Path) -> str:
    """Return how much disk a study takes, and how to take less if it can."""
    whole = folder_size(study)
    checkpoints = sum(map(folder_size, study.glob("*/checkpoints")))
    text = f"size of {study}: {decimal(whole)}, {decimal(checkpoints)} of it checkpoints"
    if next(study.glob("*/checkpoints/last.ckpt"), None):
        text += " (train.py with checkpoints.keep=weights keeps their weights alone)"
    return text


def _count_states(states: Sequence[run_folder.State]) -> str:
    """Return `2 failed (out of memory), 1 refused (seed=x: no number), 1 interrupted`."""
    groups: dict[str, list[str]] = {}
    for state in states:
        is_refused = state.status == run_folder.FAILED and state.code == 2
        reason = state.reason if state.status == run_folder.FAILED else ""
        groups.setdefault("refused" if is_refused else state.status, []).append(reason)
    parts = []
    for status, all_reasons in groups.items():
        short = (textwrap.shorten(text, _REASON, placeholder=" ...") for text in all_reasons)
        reasons = "; ".join(dict.fromkeys(filter(None, short)))
        parts.append(f"{len(all_reasons)} {status}" + (f" ({reasons})" if reasons else ""))
    return ", ".join(parts)


def _csv_of_rows(results: Results) -> str:
    """Return configurations as CSV: means, intervals, numbers of runs, differences."""
    table, best = [], best_if_significant(results)
    for i, row in enumerate((*results.rows, *results.others)):
        cells: dict[str, object] = {**row.settings, "runs": len(row.runs)}
        cells["best"] = "yes" if row.name == best and i < len(results.rows) else ""
        figures = {**{f"val/{k}": f for k, f in row.validation.items()}, **row.figures}
        for name, figure in figures.items():
            label = name if name.startswith("val/") else f"test/{name}"
            cells |= {label: figure.value, f"{label} low": figure.low, f"{label} high": figure.high}
            if (difference := row.differences.get(name)) is not None:
                label += " difference"
                cells |= {label: difference.value}
                cells |= {f"{label} low": difference.low, f"{label} high": difference.high}
        table.append({key: "" if value is None else value for key, value in cells.items()})
    return csv_text(dict.fromkeys(key for cells in table for key in cells), table)


def _print(results: Results) -> None:
    ranking = ranked_by(results)
    names = [ranking if name == "val/nll" else name for name in SWEEP]
    shared = f" of {results.data[_SHARED]}" if _SHARED in results.data else ""
    _print_rows(f"{results.title}: summary{shared}", results, names, ranking)
    for paragraph in (*summarize(results), *notes_of(results.rows)):
        log.info(paragraph)
    if results.others:
        others = replace(results, rows=results.others, axes=[*results.others[0].settings])
        _print_rows(f"{results.title}: other runs, not compared", others, names, "")


def _print_rows(title: str, results: Results, names: Sequence[str], ranking: str) -> None:
    """Print a row per configuration, with differences in the metric by which they are ranked."""
    names = [name for name in names if any(figure_of(row, name) for row in results.rows)]
    settings = [] if results.reference_row == REFERENCE else results.axes
    if not results.search:  # whose values are what is looked for
        settings = naming_axes([row.settings for row in results.rows], settings)
    columns = [Column(axis, numeric=False) for axis in settings or [""]] + [Column("runs")]
    for name in names:
        columns.append(Column(metric(name).head))
        if name == ranking and len(results.rows) > 1:
            columns.append(Column("difference"))
    best = best_if_significant(results) if ranking else ""
    table = []
    for row in results.rows:
        chosen = [row.settings.get(axis, "") for axis in settings] or [row.name]
        if row.name == best:
            chosen[0] += " (best)"
        cells = [*chosen, str(len(row.runs))]
        for name in names:
            cells.append(figure_cell(name, figure_of(row, name)).lines)
            if name == ranking and len(results.rows) > 1:
                difference = difference_cell(name, row.differences.get(name)).lines
                cells.append("" if row.name == results.reference_row else difference)
        table.append(cells)
    print_table(title, columns, table)


def _log_search(search: Mapping[str, Any]) -> None:
    if not search:
        return
    best = search["best"]
    values = ", ".join(f"{key} {value}" for key, value in best["params"].items())
    log.info(f"best trial: {best['trial']}, val/nll {best['value']:.3f}, with {values}")
    shares = ", ".join(f"{k} {100 * share:.0f} %" for k, share in search["importance"].items())
    if shares:
        log.info(
            f"importance for val/nll, over {search['finished']} finished trials: {shares} (fANOVA)"
        )
