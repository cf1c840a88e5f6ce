"""Training and validation curves of a run, as PNG."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from en2py.data.files import read_csv, write_atomically
from en2py.evaluation.metrics.registry import metric

_COLOURS = ("#2a6fbb", "#d9631e")

# Title, label of the y axis, and the label of each column. The training sample is scored as the
# validation split is: in eval mode, by the plain NLL.
_PANELS = (
    ("Token NLL", "nats per token", {"train/nll": "training sample", "val/nll": "validation"}),
    (
        "Training criterion",
        "loss, with dropout in training",
        {"train/loss": "training", "val/loss": "validation"},
    ),
    (
        "Token accuracy",
        "share of tokens",
        {"train/accuracy": "training sample", "val/accuracy": "validation"},
    ),
    (
        "Generated programs",
        "share of validation samples",
        {f"val/{name}": metric(name).label for name in ("compiles", "exact_match_renamed")},
    ),
)


def plot_curves(metrics_file: Path, path: Path) -> None:
    """Plot the curves of a run as PNG.

    Args:
        metrics_file: A CSV with a column `step` and one per metric, with gaps, as loggers write it.
        path: Of the picture.

    Raises:
        FileNotFoundError: If there is no such CSV.
    """
    save_png(curves_figure(read_csv(metrics_file)), path)


def curves_figure(rows: Sequence[dict[str, str]]) -> Figure:
    """Plot losses, NLL, accuracy and generation scores against steps; only what was logged.

    Args:
        rows: Column to cell, per row of the CSV; empty cells are gaps.
    """
    logged = {column for row in rows for column, cell in row.items() if cell}
    panels = [panel for panel in _PANELS if logged & panel[2].keys()]
    if not panels:
        figure = Figure(figsize=(6, 1.5))
        figure.text(0.5, 0.5, "no curve was logged", ha="center", va="center")
        return figure
    n_columns = min(2, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    figure = Figure(figsize=(5.6 * n_columns, 3.6 * n_rows), layout="constrained")
    epochs = [float(row["epoch"]) for row in rows if row.get("epoch")]
    xlabel = "optimiser steps" + (f", {max(epochs) + 1:.0f} epoch(s)" if epochs else "")
    for i, (title, unit, lines) in enumerate(panels):
        axes = figure.add_subplot(n_rows, n_columns, i + 1)
        for (column, label), colour in zip(lines.items(), _COLOURS, strict=True):
            steps, values = _line(rows, column)
            if steps:
                marker = "o" if len(steps) < 30 else None
                axes.plot(steps, values, marker=marker, color=colour, label=label, ms=3, lw=1.6)
            if column == "val/nll" and steps:  # the step of the best checkpoint
                best = int(np.argmin(values))
                label = f"best: {values[best]:.3f}"
                axes.plot(steps[best], values[best], "o", color="#7a2f0b", label=label, zorder=5)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.set_ylabel(unit)
        axes.set_xlabel(xlabel)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if unit.startswith("share"):
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.grid(color="#e3e3e3", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    buffer = io.BytesIO()
    with mpl.rc_context({"savefig.dpi": 110}):
        figure.savefig(buffer, format="png", facecolor="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def _line(rows: Sequence[dict[str, str]], column: str) -> tuple[list[float], list[float]]:
    """Return steps and values of a column, without its gaps."""
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    points = [(step, value) for step, value in points if math.isfinite(value)]
    return [step for step, _ in points], [value for _, value in points]
