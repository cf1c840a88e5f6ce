"""Attention maps.

Shape letters: L layers, H heads, T query positions, S key positions.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from numpy.typing import ArrayLike

from en2py.evaluation.metrics.code_tokens import token_class
from en2py.evaluation.plots.figures import Picture, figure_style
from en2py.evaluation.plots.style import INK, NEUTRAL, PALETTE, token_label

_CELL = 0.19  # inches per token, enough for a label of 8 points
_MAX_PANEL = 11.5  # inches; more tokens than fit get smaller cells, then fewer labels
_FONT = "DejaVu Sans Mono"  # comes with matplotlib
_COLORS = LinearSegmentedColormap.from_list("weights", ["white", PALETTE[0]])


def plot_attention(
    kind: str, weights: ArrayLike, queries: Sequence[str], keys: Sequence[str], folder: Path
) -> list[Path]:
    """Plot attention as heat maps, a picture per layer as SVG, PDF and PNG.

    Args:
        kind: `cross`, `encoder` or `decoder`; goes into titles and file names.
        weights: `[L, H, T, S]`; each row sums to 1.
        queries: The T tokens that attend.
        keys: The S tokens that are attended to.
        folder: Of the pictures, `<kind>-layer<k>.png` and so on.

    Returns:
        The PNG files, first layer first.
    """
    paths = []
    for number, layer in enumerate(np.asarray(weights, dtype=float), start=1):
        figure = attention_figure(layer, queries, keys, title=f"{kind} attention, layer {number}")
        path = folder / f"{kind}-layer{number}"
        Picture(figure, f"{kind} attention, layer {number}").write(path)
        paths.append(path.with_suffix(".png"))
    return paths


@figure_style()
def attention_figure(
    weights: ArrayLike, queries: Sequence[str], keys: Sequence[str], *, title: str
) -> Figure:
    """Plot the attention of one layer, a panel per head, one color scale for all.

    Args:
        weights: `[H, T, S]`.
        queries: The T tokens that attend, one per row.
        keys: The S tokens that are attended to, one per column.
        title: Of the picture.
    """
    heads = np.asarray(weights, dtype=float)  # [H, T, S]
    # The layout is computed here, in inches: matplotlib's automatic layouts draw everything
    # several times, and cells of one size make labels of one size fit.
    cell = min(_CELL, _MAX_PANEL / max(len(queries), len(keys)))
    size = max(5.0, min(8.0, cell * 72 * 0.62))  # points
    left, bottom = (
        max(len(_label(token)) for token in side) * size * 0.61 / 72 + 0.15
        for side in (queries, keys)
    )  # margins for the labels; those of the queries are written once per row of panels
    width, height = len(keys) * cell, len(queries) * cell
    n_columns = min(4, len(heads))
    n_rows = math.ceil(len(heads) / n_columns)
    total_width = max(left + n_columns * (width + 0.15) + 0.75, 4.5)
    total_height = n_rows * (0.3 + height + bottom) + 0.65
    figure = Figure(figsize=(total_width, total_height))

    def add_axes(x: float, top: float, width: float, height: float) -> Axes:
        """Add axes by their upper left corner, in inches from that of the picture."""
        y = total_height - top - height
        return figure.add_axes(
            (x / total_width, y / total_height, width / total_width, height / total_height)
        )

    x, y = 0.12 / total_width, 1 / total_height
    figure.text(x, 1 - 0.3 * y, title, fontsize=13, fontweight="bold")
    legend = "a row's token attends to the columns' tokens"
    figure.text(x, 1 - 0.5 * y, legend, fontsize=9)
    for i, head in enumerate(heads):
        row, column = divmod(i, n_columns)
        axes = add_axes(
            left + column * (width + 0.15),
            0.95 + row * (0.3 + height + bottom),
            *(width, height),
        )
        image = axes.imshow(head, cmap=_COLORS, vmin=0, vmax=float(heads.max()), aspect="auto")
        axes.set_title(f"head {i + 1}", fontsize=10.5, fontweight="normal")
        every = max(1, math.ceil(size * 1.15 / (cell * 72)))
        _label_axes(axes, queries, keys, with_queries=column == 0, size=size, every=every)
    bar = add_axes(left + n_columns * (width + 0.15), 0.95, 0.12, min(1.5, height))
    bar.grid(visible=False)
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=8)
    return figure


def _label_axes(
    axes: Axes,
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    with_queries: bool,
    size: float,
    every: int,
) -> None:
    """Write keys under columns and queries beside rows; every k-th if not all of them fit."""
    # Plain texts: each tick is a family of artists, and a thousand of them take seconds.
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    text: dict[str, Any] = {"fontsize": size, "family": _FONT, "parse_math": False}
    for x in range(0, len(keys), every):
        place = (x, len(queries) - 0.35)
        style = {"color": _color(keys[x]), **text}
        axes.text(*place, _label(keys[x]), rotation=90, ha="center", va="top", **style)
    for y in range(0, len(queries), every) if with_queries else ():
        style = {"color": _color(queries[y]), **text}
        axes.text(-0.65, y, _label(queries[y]), ha="right", va="center_baseline", **style)
    if every == 1:
        ends_x, ends_y = (-0.5, len(keys) - 0.5), (-0.5, len(queries) - 0.5)
        axes.vlines(np.arange(1, len(keys)) - 0.5, *ends_y, color="#e8e8e8", lw=0.5)
        axes.hlines(np.arange(1, len(queries)) - 0.5, *ends_x, color="#e8e8e8", lw=0.5)
    axes.spines[:].set(visible=True, color="#bbbbbb")


def _color(token: str) -> str:
    return NEUTRAL if token_class(token) == "layout" else INK


def _label(token: str) -> str:
    """Return a label in which every character that the font lacks is escaped."""
    glyphs = get_font(findfont(_FONT))
    text = token_label(token)
    return "".join(c if glyphs.get_char_index(ord(c)) else f"\\u{ord(c):04x}" for c in text)
