"""What a person sees on the terminal: the config tree, the data table, the results."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=140)  # a file has no width; 80 would fold the tables

_EVERY_S = 10.0  # least time between two progress lines of a sweep's run
_CLEAR = "\r\x1b[2K"  # back to the start of the line, and wipe it


class _Job:
    """The run of a sweep that this process is busy with: it says less, and says who it is."""

    label = ""
    parallel = False
    told_at = -_EVERY_S
    line_is_open = False


def begin_job(label: str, *, parallel: bool) -> None:
    """Speak for one run of a sweep from now on.

    Args:
        label: Before each of its lines; empty at the end of the sweep.
        parallel: Other processes write to the same terminal.
    """
    _close_line()
    _Job.label, _Job.parallel, _Job.told_at = label, parallel, -_EVERY_S


def say(text: str) -> None:
    """Print a line as it is: long paths stay whole, and brackets in them mean nothing."""
    _close_line()
    prefix = f"{_Job.label}: " if _Job.label else ""
    console.print(f"{prefix}{text}", soft_wrap=True, markup=False)


def progress(text: str) -> None:
    """Tell how far a run is: in a sweep on one line a run, or a line now and then in a file."""
    if not _Job.label:
        print(text, flush=True)
    elif console.is_terminal and not _Job.parallel:
        line = f"{_Job.label}: {text}"[: console.width - 1]
        print(f"{_CLEAR}{line}", end="", flush=True)
        _Job.line_is_open = True
    elif time.monotonic() - _Job.told_at >= _EVERY_S:
        _Job.told_at = time.monotonic()
        print(f"{_Job.label}: {text}", flush=True)  # one write: lines of two runs do not mix


def _close_line() -> None:
    if _Job.line_is_open:
        print(_CLEAR, end="", flush=True)
        _Job.line_is_open = False


@contextmanager
def cleaning_progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar while pairs are cleaned; the function it gives takes (done, in all)."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("preparing the data", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def config_tree(config: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Print the resolved config, a branch a group with the option taken."""
    if _Job.label:
        return
    tree = Tree("config")
    for key, value in config.items():
        if isinstance(value, Mapping):
            branch = tree.add(Text(f"{key}{_choice(key, choices)}", style="bold"))
            _grow(branch, key, value, choices)
        elif value is not None:
            tree.add(Text(f"{key}: {value}"))
    console.print(tree)


def _grow(tree: Tree, key: str, value: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    for name, item in value.items():
        if name in ("_partial_", "_target_"):
            continue
        if isinstance(item, Mapping):
            branch = tree.add(Text(f"{name}{_choice(f'{key}/{name}', choices)}"))
            _grow(branch, f"{key}/{name}", item, choices)
        else:
            tree.add(Text(f"{name}: {item}"))


def _choice(group: str, choices: Mapping[str, str]) -> str:
    return f" = {choices[group]}" if group in choices else ""


def data_table(report: Mapping[str, Any], from_cache: bool, leakage: str) -> None:
    """Print what each rule read, changed and dropped, what is left, and the leakage sentence."""
    if _Job.label:
        return
    table = Table(title="data" + (" (from the cache)" if from_cache else ""), title_justify="left")
    table.add_column("step")
    for column in ("read", "changed", "dropped"):
        table.add_column(column, justify="right")
    table.add_column("dropped because")
    for step in report["steps"]:
        reasons = sorted(step["reasons"].items(), key=lambda item: -item[1])
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons[:3])
        counts = (f"{step[c]:,}" if step[c] else "" for c in ("read", "changed", "dropped"))
        table.add_row(step["name"], *counts, Text(why + (" ..." if len(reasons) > 3 else "")))
    console.print(table)
    facts = report["facts"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in facts["sizes"].items())
    unknown = facts["out_of_vocabulary"]["test"]
    say(
        f"pairs: {sizes}; vocabulary: {facts['vocab']['src']:,} English, "
        f"{facts['vocab']['tgt']:,} Python; unknown in test: {unknown['src']:.1%} of the English, "
        f"{unknown['tgt']:.1%} of the Python tokens"
    )
    say(leakage)


def results(title: str, values: Mapping[str, str]) -> None:
    """Print a table of scores.

    Args:
        title: Printed above the table.
        values: Metric to its value as text.
    """
    if _Job.label:
        return
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in values.items():
        table.add_row(name, value)
    console.print(table)


def finished(seconds: float, values: Mapping[str, str]) -> None:
    """Print one line with the time and the scores of a sweep's run."""
    if _Job.label:
        figures = ", ".join(f"{label} {value}" for label, value in values.items())
        say(f"finished in {duration(seconds)}: {figures}")


def duration(seconds: float) -> str:
    """Write a time the way one says it: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def samples(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a few pairs, each as (description, reference, output, verdict)."""
    if _Job.label:
        return
    for description, reference, output, verdict in rows:
        console.print(Text(f"\n# {description}", style="bold"))
        console.print(Text(output or "(nothing)"))
        console.print(Text(f"-> {verdict}", style="green" if "exact" in verdict else "yellow"))
        if "exact" not in verdict:
            console.print(Text("the reference:", style="dim"))
            console.print(Text(reference, style="dim"))


_SPEAKERS = ("pytorch_lightning", "lightning_fabric")  # with handlers of their own, for stderr


_NOISE = "`weights_only` was not set"  # Lightning, at each checkpoint that it writes


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Send what libraries say and warn of to a file.

    Args:
        path: The file; what it holds already stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # the disk is full
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: _NOISE not in record.getMessage())
    root, speakers = logging.getLogger(), [logging.getLogger(name) for name in _SPEAKERS]
    before = [(speaker.handlers, speaker.propagate) for speaker in speakers]
    for speaker in speakers:
        speaker.handlers, speaker.propagate = [], True
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
        for speaker, (handlers, propagate) in zip(speakers, before, strict=True):
            speaker.handlers, speaker.propagate = handlers, propagate
        handler.close()
