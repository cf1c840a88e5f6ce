"""Training and validation curves of a run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from en2py.console import percent
from en2py.evaluation.metrics.registry import metric
from en2py.evaluation.plots.figures import Picture, figure_style

# Title, label of the y axis, and the label of each column. The training sample is scored as the
# validation split is: in eval mode, by the plain NLL.
_PANELS = (
    ("Token NLL", "nats per token", {"train/nll": "training sample", "val/nll": "validation"}),
    (
        "Training criterion",
        "loss; training: mean over the epoch",  # with the dropout of the model
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
_BEST = "#7a2f0b"


def plot_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Plot the curves of a run, its `read_epochs`, as SVG, PDF and PNG; the path has no ending."""
    Picture(curves_figure(rows), "Training and validation curves").write(path)


@figure_style()
def curves_figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Plot losses, NLL, accuracy and generation scores by epoch; only what was logged."""
    drawn = {column for _, _, lines in _PANELS for column in lines}
    rows = [row for row in rows if drawn & row.keys()]  # not that of the test split, after the end
    logged = {column for row in rows for column in row}
    panels = [panel for panel in _PANELS if logged & panel[2].keys()]
    if not panels:
        figure = Figure(figsize=(6, 1.5))
        figure.text(0.5, 0.5, "no curve was logged", ha="center", va="center")
        return figure
    n_columns = min(2, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    figure = Figure(figsize=(5 * n_columns, 3.3 * n_rows), layout="constrained")
    shown = [row["epoch"] for row in rows]
    margin = 0.03 * (max(shown) - min(shown)) or 0.5  # so that no point is cut
    for i, (title, unit, lines) in enumerate(panels):
        axes = figure.add_subplot(n_rows, n_columns, i + 1)
        for column, label in lines.items():
            values_of = {row["epoch"]: row[column] for row in rows if column in row}
            points = [(epoch, value) for epoch, value in values_of.items() if math.isfinite(value)]
            epochs, values = [epoch for epoch, _ in points], [value for _, value in points]
            (line,) = axes.plot(epochs, values, label=label if epochs else "")
            line.set(marker="o" if len(epochs) < 30 else "", markersize=4)
            if column == "val/nll" and epochs:  # the epoch of the best checkpoint
                best = int(np.argmin(values))
                label = f"best: {values[best]:.3f} in epoch {epochs[best]:g}"
                axes.plot(epochs[best], values[best], "o", color=_BEST, label=label, zorder=5)
        axes.set_title(title)
        axes.set_ylabel(unit)
        axes.set_xlabel("epoch")
        axes.set_xlim(min(shown) - margin, max(shown) + margin)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        if unit.startswith("share"):
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda share, _: percent(share, 0))
        axes.grid(visible=False, axis="x")
        axes.legend()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is computed now, not again for each file
    return figure
