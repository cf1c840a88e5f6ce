"""Pictures of a run: training and validation curves, attention maps.

Figures are made without pyplot, which keeps state for the whole process.
Shape letters: L layers, H heads, T query positions, S key positions.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from en2py.data.files import write_atomically
from en2py.evaluation.metrics.code_tokens import token_class

# Panels of the curves: title, unit, and (column, label, colour) of each line. The training
# sample is scored as the validation split is: in eval mode, by the plain NLL.
_BLUE, _ORANGE, _GREEN = "#2a6fbb", "#d9631e", "#2f8f5b"
_PANELS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Token NLL",
        "nats per token",
        (("train/nll", "training sample", _BLUE), ("val/nll", "validation", _ORANGE)),
    ),
    (
        "Training criterion",
        "loss, with dropout in training",
        (("train/loss", "training", _BLUE), ("val/loss", "validation", _ORANGE)),
    ),
    (
        "Token accuracy",
        "share of tokens",
        (("train/accuracy", "training sample", _BLUE), ("val/accuracy", "validation", _ORANGE)),
    ),
    (
        "Generated programs",
        "share of validation samples",
        (
            ("val/exact_match_renamed", "exact up to names", _ORANGE),
            ("val/compiles", "compiles", _GREEN),
        ),
    ),
)

_CELL = 0.19  # inches a token, which leaves room for a label of 8 points
_MAX_PANEL = 11.5  # inches; more tokens than fit get smaller cells, then fewer labels
_FONT = "DejaVu Sans Mono"  # comes with matplotlib
_LABEL_CHARS = 18
_SHOWN_AS = {"<nl>": "newline", "<indent>": "indent", "<dedent>": "dedent", "": "''"}
_SHOWN_CHARS = str.maketrans(
    {"\n": "\\n", "\t": "\\t", " ": "·", "Ġ": "·", "Ċ": "\\n", "ĉ": "\\t"}  # the letters are BPE's
)
_WORD, _LAYOUT = "#111111", "#8a8a8a"


def plot_curves(metrics_file: Path, path: Path) -> None:
    """Draw the curves of a run as PNG.

    Args:
        metrics_file: A CSV with a column `step` and one per metric, with gaps, as loggers write it.
        path: Where the picture goes.

    Raises:
        FileNotFoundError: If there is no such CSV.
    """
    with open(metrics_file, newline="", encoding="utf-8") as file:
        figure = curves_figure(list(csv.DictReader(file)))
    _save(figure, path)


def curves_figure(rows: Sequence[dict[str, str]]) -> Figure:
    """Draw losses, NLL, accuracy and generation scores against steps; only what was logged.

    Args:
        rows: Column to cell, per row of the CSV; empty cells are gaps.
    """
    logged = {column for row in rows for column, cell in row.items() if cell}
    panels = [panel for panel in _PANELS if logged & {column for column, _, _ in panel[2]}]
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
        for column, label, colour in lines:
            steps, values = _line(rows, column)
            if steps:
                marker = "o" if len(steps) < 30 else None
                axes.plot(steps, values, marker=marker, color=colour, label=label, ms=3, lw=1.6)
            if column == "val/nll" and steps:
                _mark_lowest(axes, steps, values)
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


def plot_attention(
    kind: str,
    weights: ArrayLike,
    queries: Sequence[str],
    keys: Sequence[str],
    folder: Path,
    *,
    average: bool = False,
) -> list[Path]:
    """Draw attention as heat maps, a PNG per layer.

    Args:
        kind: `cross`, `encoder` or `decoder`; goes into titles and file names.
        weights: `[L, H, T, S]`; each row sums to 1.
        queries: The T tokens that look.
        keys: The S tokens that are looked at.
        folder: Where the pictures go, as `<kind>-layer<k>.png`.
        average: One panel, the mean of the heads, in place of one panel per head.

    Returns:
        The files, first layer first.
    """
    paths = []
    for number, layer in enumerate(np.asarray(weights, dtype=float), start=1):
        figure = attention_figure(
            layer, queries, keys, title=f"{kind} attention, layer {number}", average=average
        )
        paths.append(folder / f"{kind}-layer{number}.png")
        _save(figure, paths[-1])
    return paths


def attention_figure(
    weights: ArrayLike,
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    title: str,
    average: bool = False,
) -> Figure:
    """Draw the attention of one layer, a panel per head, one colour scale for all.

    Args:
        weights: `[H, T, S]`.
        queries: The T tokens that look, one per row.
        keys: The S tokens that are looked at, one per column.
        title: Stands above.
        average: One panel, the mean of the heads.

    Raises:
        ValueError: If the shape does not fit the tokens.
    """
    heads = np.asarray(weights, dtype=float)  # [H, T, S]
    if heads.ndim != 3 or heads.shape[1:] != (len(queries), len(keys)):
        raise ValueError(
            f"weights of shape {list(heads.shape)} do not fit {len(queries)} queries "
            f"and {len(keys)} keys; give [heads, queries, keys]"
        )
    names = [f"head {k}" for k in range(1, len(heads) + 1)]
    if average:
        heads, names = heads.mean(axis=0, keepdims=True), [f"mean of {len(heads)} heads"]

    # Laid out by hand, in inches: an automatic layout draws everything several times, and cells
    # of one size make labels of one size fit.
    cell = min(_CELL, _MAX_PANEL / max(len(queries), len(keys)))
    size = max(5.0, min(8.0, cell * 72 * 0.62))  # points
    left, bottom = (
        max(len(_label(token)) for token in side) * size * 0.61 / 72 + 0.15
        for side in (queries, keys)
    )
    width, height = len(keys) * cell, len(queries) * cell
    # As near to a square as whole panels allow; four in a row at most.
    ratio = (0.3 + height + bottom) / (left + width)
    n_columns = min(4, len(heads), max(1, round(math.sqrt(len(heads) * ratio))))
    n_rows = math.ceil(len(heads) / n_columns)
    total_width = max(n_columns * (left + width + 0.15) + 0.75, 4.5)
    total_height = n_rows * (0.3 + height + bottom) + 0.65
    figure = Figure(figsize=(total_width, total_height))
    x, y = 0.12 / total_width, 1 / total_height
    figure.text(x, 1 - 0.3 * y, title, fontsize=12, fontweight="bold")
    figure.text(
        x, 1 - 0.5 * y, "a row's token looks at the columns' tokens", fontsize=8, color="#555"
    )
    top_weight = float(heads.max())
    for i, (head, name) in enumerate(zip(heads, names, strict=True)):
        row, column = divmod(i, n_columns)
        x = column * (left + width + 0.15) + left
        y = total_height - 0.65 - row * (0.3 + height + bottom) - 0.3 - height
        box = (x / total_width, y / total_height, width / total_width, height / total_height)
        axes = figure.add_axes(box)
        image = axes.imshow(head, cmap="Blues", vmin=0, vmax=top_weight, aspect="auto")
        axes.set_title(name, fontsize=9, loc="left")
        _label_axes(
            axes, queries, keys, size=size, every=max(1, math.ceil(size * 1.15 / (cell * 72)))
        )
    bar_height = min(1.5, height)
    bar = figure.add_axes(
        (
            (n_columns * (left + width + 0.15)) / total_width,
            1 - (0.95 + bar_height) / total_height,
            0.12 / total_width,
            bar_height / total_height,
        )
    )
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7)
    return figure


def _label_axes(
    axes: Axes, queries: Sequence[str], keys: Sequence[str], *, size: float, every: int
) -> None:
    """Write tokens beside rows and under columns; every k-th where they stand too close."""
    # Plain texts: each tick is a family of artists, and a thousand of them take seconds.
    axes.set_xticks([])
    axes.set_yticks([])
    text: dict[str, Any] = {"fontsize": size, "family": _FONT, "parse_math": False}
    for x in range(0, len(keys), every):
        place = (x, len(queries) - 0.35)
        style = {"color": _colour(keys[x]), **text}
        axes.text(*place, _label(keys[x]), rotation=90, ha="center", va="top", **style)
    for y in range(0, len(queries), every):
        style = {"color": _colour(queries[y]), **text}
        axes.text(-0.65, y, _label(queries[y]), ha="right", va="center_baseline", **style)
    if every == 1:
        ends_x, ends_y = (-0.5, len(keys) - 0.5), (-0.5, len(queries) - 0.5)
        axes.vlines(np.arange(1, len(keys)) - 0.5, *ends_y, color="#e8e8e8", lw=0.5)
        axes.hlines(np.arange(1, len(queries)) - 0.5, *ends_x, color="#e8e8e8", lw=0.5)
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")


def _colour(token: str) -> str:
    return _LAYOUT if token_class(token) == "layout" else _WORD


def token_label(token: str) -> str:
    """Write a token so that it can be read: layout in words, blanks as dots, long ones cut."""
    text = _SHOWN_AS.get(token, token).translate(_SHOWN_CHARS)
    return text if len(text) <= _LABEL_CHARS else f"{text[: _LABEL_CHARS - 1]}…"


def _label(token: str) -> str:
    """Write a token with the letters that the font has."""
    glyphs = get_font(findfont(_FONT))
    text = token_label(token)
    return "".join(c if glyphs.get_char_index(ord(c)) else f"\\u{ord(c):04x}" for c in text)


def _line(rows: Sequence[dict[str, str]], column: str) -> tuple[list[float], list[float]]:
    """Return steps and values of a column, without its gaps."""
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    points = [(step, value) for step, value in points if math.isfinite(value)]
    return [step for step, _ in points], [value for _, value in points]


def _mark_lowest(axes: Axes, steps: Sequence[float], values: Sequence[float]) -> None:
    """Mark the point whose checkpoint is the best one."""
    best = int(np.argmin(values))
    axes.plot(
        steps[best],
        values[best],
        "o",
        color="#7a2f0b",
        ms=6,
        label=f"best: {values[best]:.3f}",
        zorder=5,
    )


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    with mpl.rc_context({"savefig.dpi": 110}):
        figure.savefig(buffer, format="png", facecolor="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
