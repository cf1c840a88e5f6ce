"""Pictures of a comparison: dot plots, differences, learning curves, effects of settings.

The colors of rows are legible on light and dark pages. Sizes are in points, which a page shows as
CSS pixels.
"""

import contextlib
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from en2py.evaluation.metrics.registry import Metric, figure_of, metric
from en2py.evaluation.plots.figures import Picture, figure_style
from en2py.evaluation.plots.style import NEUTRAL, PALETTE, shortened, visible
from en2py.evaluation.results import Difference, Estimate, ResultRow

_WIDTH = 360.0  # as wide as a phone, or a third of a desktop page
_MARGIN = 16.0  # half a tick label
_TOP = 30.0  # height of the title
_LEFT = 46.0  # width of tick labels
_ROW = 34.0  # a row of a dot plot: its name, below it the dot
_CHAR = 6.4  # mean width of a character
_WIDE = 5.0  # losses whose ratio is larger are drawn on a log scale
_STEPS = [1, 2, 2.5, 5, 10]


@figure_style()
def dot_plot(rows: Sequence[ResultRow], name: str, *, reference: str = "") -> Picture | None:
    """Draw a metric: a dot per row, its 95 % interval as a bar, its seeds as small dots.

    A dotted line is drawn at the value of the reference row. None if no row has the metric.
    """
    estimates = {i: figure_of(row, name) for i, row in enumerate(rows)}
    line = next((e.value for i, e in estimates.items() if e and rows[i].name == reference), None)
    return _draw_dots(metric(name), rows, estimates, line)


@figure_style()
def difference_plot(rows: Sequence[ResultRow], name: str) -> Picture | None:
    """Draw the differences from the reference row, with 95 % intervals and a line at 0.

    None if no row has the difference.
    """
    differences = {i: row.differences.get(name) for i, row in enumerate(rows)}
    return _draw_dots(metric(name), rows, differences, line=0.0)


@figure_style()
def learning_curves(
    rows: Sequence[ResultRow], curves: Mapping[str, Sequence[Mapping[str, float]]], column: str
) -> Picture | None:
    """Draw a logged value, as `val/nll`, by epoch: the mean of a row's runs, a band of all of them.

    Where some runs of a row have already ended, the line is dotted: the mean of the others. None if
    no run logged the value. `curves` has the rows of the metrics file of each run.
    """
    part, _, name = column.partition("/")
    how = metric(name)
    by_row = {i: _values_by_epoch(row, curves, column, how.scale) for i, row in enumerate(rows)}
    by_row = {i: by_epoch for i, by_epoch in by_row.items() if by_epoch}
    if not by_row:
        return None
    part = {"val": "validation", "train": "training sample"}.get(part, part)
    names = {i: _wrapped(rows[i].name, _WIDTH - 27) for i in by_row}
    title = f"{how.head}, {part}"
    top = _TOP + sum(3 + 14 * len(lines) for lines in names.values()) + 8
    figure, axes = _figure(title, top + 208, top=top, left=_LEFT, bottom=38)
    ends, y = [], _TOP
    for i, by_epoch in by_row.items():
        line: dict[str, Any] = {"color": _color(rows, i), "lw": 2}
        line["ls"] = "--" if i // len(PALETTE) % 2 else "-"
        _draw_curve(axes, by_epoch, line)
        figure.add_artist(Line2D([2 / _WIDTH, 20 / _WIDTH], [_up(figure, y + 5)] * 2, **line))
        _write(figure, 27, y - 2, "\n".join(names[i]), size=11, va="top")
        y += 3 + 14 * len(names[i])
        ends.append(f"{rows[i].name} ends at {fmean(by_epoch[max(by_epoch)]):.4g}")
    points = [(e, v) for by_epoch in by_row.values() for e, of in by_epoch.items() for v in of]
    first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
    _scale_losses(axes, [value for _, value in points], is_loss=how.from_logits)
    if how.unit == "%":
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.0), min(high, 100.0))
    margin = 0.03 * (last - first) or 0.5
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.grid(visible=False, axis="x")
    _write(figure, (_LEFT + _WIDTH) / 2, top + 204, "epoch", size=10.5, ha="center")
    return Picture(figure, f"{title}, by epoch. {'; '.join(ends)}")


@figure_style()
def marginal_effect(rows: Sequence[ResultRow], setting: str, name: str) -> Picture | None:
    """Draw the effect of one setting on a metric over all values of the other settings.

    A thin line joins the rows that differ in this setting alone: parallel lines mean the same
    effect everywhere, crossing lines an interaction. Large dots are means over the combinations of
    the other settings that were run with every value, so that no value is favored. None if no two
    rows with the metric differ in this setting alone.
    """
    how, lines = metric(name), _lines_by_setting(rows, setting, name)
    if max(map(len, lines), default=0) < 2:
        return None
    values = list(dict.fromkeys(value for line in lines for value in line))
    with contextlib.suppress(ValueError):  # not all are numbers
        values.sort(key=float)
    picture, axes = _figure(f"{how.headline} by {setting}", 232, left=_LEFT, bottom=44)
    for line in lines:
        places = [i for i, value in enumerate(values) if value in line]
        heights = [line[values[i]] for i in places]
        axes.plot(places, heights, color=NEUTRAL, lw=1, alpha=0.7, marker="o", ms=3.5)
    complete = [line for line in lines if len(line) == len(values)]
    means = [fmean(line[value] for line in complete) for value in values] if complete else []
    axes.plot(range(len(means)), means, color=PALETTE[0], lw=2, marker="o", ms=9)
    texts = [how.write(mean / how.scale) for mean in means]
    axes.set_ylim(*_padded([height for line in lines for height in line.values()], 0.2))
    axes.set_xlim(-0.5, len(values) - 0.5)
    length = int((_WIDTH - _LEFT - _MARGIN) / len(values) / _CHAR)
    names = [visible(shortened(value, length)) for value in values]
    below = texts or [""] * len(names)
    labels = [f"{name}\n{text}" for name, text in zip(names, below, strict=True)]
    axes.set_xticks(range(len(values)), labels)
    axes.grid(visible=False, axis="x")
    shown = "; ".join(f"{value} {text}" for value, text in zip(values, texts, strict=False))
    return Picture(picture, f"{how.head} by {setting}. {shown or 'No combination is complete'}")


def _lines_by_setting(rows: Sequence[ResultRow], setting: str, name: str) -> list[dict[str, float]]:
    """Return, for all combinations of the other settings, a metric by the value of one setting."""
    scale = metric(name).scale
    found: dict[tuple[tuple[str, str], ...], dict[str, list[float]]] = {}  # by the other settings
    for row in rows:
        figure = figure_of(row, name)
        if setting in row.settings and figure is not None and math.isfinite(figure.value):
            others = tuple(item for item in sorted(row.settings.items()) if item[0] != setting)
            values = found.setdefault(others, {}).setdefault(row.settings[setting], [])
            values.append(figure.value * scale)  # several, of a repeated run
    return [{value: fmean(values) for value, values in line.items()} for line in found.values()]


def _draw_dots(
    how: Metric,
    rows: Sequence[ResultRow],
    found: Mapping[int, Estimate | None] | Mapping[int, Difference | None],
    line: float | None,
) -> Picture | None:
    """Draw a dot per row, first row at the top, and a dotted vertical line.

    `found` has the estimate or difference of each place; those that are not finite are left out.
    """
    shown = {i: e for i, e in found.items() if e is not None and math.isfinite(e.value)}
    if not shown:
        return None
    title, write, interval = how.headline, how.write, how.interval
    bounds = how.bounds[0] * how.scale, how.bounds[1] * how.scale
    if isinstance(next(iter(shown.values())), Difference):
        title = f"difference in {how.change_head}"
        write, interval = how.change, how.change_interval
        bounds = bounds[0] - bounds[1], bounds[1] - bounds[0]

    def place(value: float) -> float:
        return min(max(value * how.scale, bounds[0]), bounds[1])

    width = _WIDTH - 16 - 1.2 * _CHAR * max(len(write(e.value)) for e in shown.values())
    names = {i: _wrapped(rows[i].name, width) for i in shown}
    height = sum(_ROW + 14 * (len(lines) - 1) for lines in names.values()) + 4
    figure, axes = _figure(title, _TOP + height + 22, bottom=22)
    axes.set_ylim(height, 0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.set_yticks([])
    xs, texts, top = [], [], 0.0
    if line is not None:
        axes.axvline(place(line), color=NEUTRAL, lw=1, ls=(0, (2, 3)))
        xs.append(place(line))
    for i, estimate in shown.items():
        name, value = rows[i].name, write(estimate.value)
        ends = interval(estimate.low, estimate.high)
        texts.append(f"{name} {value}{ends and f' ({ends})'}")
        _write(figure, 0, _TOP + top + 2, "\n".join(names[i]), va="top")
        _write(figure, _WIDTH, _TOP + top + 2, value, ha="right", va="top")
        y, color = top + 9 + 14 * len(names[i]), _color(rows, i)
        top += _ROW + 14 * (len(names[i]) - 1)
        is_filled, seeds = rows[i].kind == "model", []
        if isinstance(estimate, Difference):
            is_filled = estimate.is_significant
        elif len(estimate.by_seed) > 1:
            seeds = [place(seed) for seed in estimate.by_seed.values()]
        bar = [place(end) for end in (estimate.low, estimate.high) if ends and end is not None]
        alpha = 0.4 if is_filled else 0.25
        style: dict[str, Any] = {"lw": 5, "alpha": alpha, "solid_capstyle": "butt"}  # exact ends
        axes.plot(bar, [y] * len(bar), color=color, clip_on=False, **style)
        small: dict[str, Any] = {"ms": 4, "mew": 0, "alpha": 0.8, "clip_on": False}
        axes.plot(seeds, [y] * len(seeds), "o", color=color, **small)
        dot = place(estimate.value)
        face = color if is_filled else "none"
        axes.plot([dot], [y], "o", color=color, ms=9, mew=1.8, mfc=face, clip_on=False)
        xs += [dot, *bar, *seeds]
    low, high = _padded(xs)
    axes.set_xlim(max(low, bounds[0]), min(high, bounds[1]))
    return Picture(figure, f"{title}, with 95 % intervals. {'; '.join(texts)}")


def _wrapped(text: str, width: float) -> list[str]:
    """Return up to three lines that fit into a width."""
    return textwrap.wrap(visible(text), int(width / _CHAR), max_lines=3, placeholder=" …") or [""]


def _scale_losses(axes: Axes, values: Sequence[float], *, is_loss: bool) -> None:
    """Set the limits of y to contain all values; losses over a wide range get a log scale."""
    low, high = min(values), max(values)
    if not is_loss or low <= 0 or high / low < _WIDE:
        axes.set_ylim(*_padded(values))
        return
    margin = (high / low) ** 0.05
    axes.set_yscale("log")
    axes.set_ylim(low / margin, high * margin)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    text: dict[str, Any] = {"size": 9, "ha": "right", "va": "top", "transform": axes.transAxes}
    axes.text(1, 1, "log scale", **text)


def _draw_curve(axes: Axes, by_epoch: Mapping[float, list[float]], style: dict[str, Any]) -> None:
    n_runs = max(map(len, by_epoch.values()))
    if n_runs > 1:
        low, high = map(min, by_epoch.values()), map(max, by_epoch.values())
        axes.fill_between(
            list(by_epoch), list(low), list(high), color=style["color"], alpha=0.18, lw=0
        )
    for is_complete, part in itertools.groupby(by_epoch, lambda e: len(by_epoch[e]) == n_runs):
        epochs = list(part)
        means = [fmean(by_epoch[epoch]) for epoch in epochs]
        kind = style if is_complete else style | {"ls": ":"}
        marker = "o" if len(epochs) == 1 else ""
        axes.plot(epochs, means, marker=marker, ms=5, clip_on=False, **kind)


def _values_by_epoch(
    row: ResultRow,
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    column: str,
    scale: float,
) -> dict[float, list[float]]:
    """Return the finite values of a row's runs, epoch by epoch."""
    by_epoch: dict[float, list[float]] = {}
    for run in row.runs:
        records = [r for r in curves.get(run, ()) if "epoch" in r and column in r]
        for epoch, value in {r["epoch"]: r[column] for r in records}.items():
            if math.isfinite(value):
                by_epoch.setdefault(epoch, []).append(value * scale)
    return dict(sorted(by_epoch.items()))


def _figure(
    title: str, height: float, *, top: float = _TOP, left: float = _MARGIN, bottom: float
) -> tuple[Figure, Axes]:
    """Return a figure with a title, and axes within margins."""
    figure = Figure(figsize=(_WIDTH / 72, height / 72))
    _write(figure, 0, 16, shortened(title, int(_WIDTH / 7.5)), size=13, weight="bold")
    width = (_WIDTH - left - _MARGIN) / _WIDTH
    axes = figure.add_axes((left / _WIDTH, bottom / height, width, 1 - (top + bottom) / height))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    return figure, axes


def _up(figure: Figure, y: float) -> float:
    """Return a distance from the upper edge as a share of the height, from below."""
    return 1 - y / (float(figure.get_figheight()) * 72)


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text at a place from the upper left corner."""
    figure.text(x / _WIDTH, _up(figure, y), visible(text), **style)


def _padded(values: Sequence[float], share: float = 0.05) -> tuple[float, float]:
    """Return limits with a margin around finite values."""
    low, high = min(values), max(values)
    margin = share * (high - low) or abs(low) / 10 or 0.1
    return low - margin, high + margin


def _color(rows: Sequence[ResultRow], place: int) -> str:
    return PALETTE[place % len(PALETTE)] if rows[place].kind == "model" else NEUTRAL
