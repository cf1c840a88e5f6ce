"""Learning curves with seed bands, and the effect of a setting, as SVG.

Every function returns the text of one `<svg>`; `svg.standalone` makes a file of it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from en2py.evaluation.metrics.registry import Metric, figure_of, metric
from en2py.evaluation.report.svg import (
    CHAR,
    SIDE,
    TOP,
    WIDTH,
    Drawing,
    Scale,
    path,
    scale,
    tick_text,
)
from en2py.evaluation.report.tables import colour_of
from en2py.evaluation.results import ResultRow

Points = list[tuple[float, float]]


def learning_curves(
    rows: Sequence[ResultRow],
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    column: str,
    *,
    legend: bool = False,
    width: float = WIDTH,
) -> str:
    """Draw a logged value over epochs: the mean of a row's runs, a band from lowest to highest run.

    Where some runs of a row have already ended the line goes on dashed, over those that are left.

    Args:
        rows: Rows whose `runs` are looked up in `curves`; those without curves are passed over.
        curves: Run to rows of its metrics file.
        column: As logged: `val/nll`.
        legend: Name the rows in the picture; leave it out where a legend stands beside it.
        width: In px.

    Raises:
        ValueError: If no run logged the column.
    """
    lines = []
    for i, row in enumerate(rows):
        runs = [_points(curves[run], column) for run in row.runs if run in curves]
        runs = [points for points in runs if points]
        if runs:
            lines.append((row, colour_of(rows, i) or 1, _style(rows, i), runs))
    if not lines:
        raise ValueError(f"no run logged {column!r}")
    how = metric(column.partition("/")[2])
    part = {"val": "validation", "train": "training sample"}.get(column.partition("/")[0], "")
    title = f"{how.head}, {part}" if part else how.head
    top = TOP + (17 * len(lines) + 6 if legend else 0)
    height = top + 170 + 38
    ends = [f"{row.name} ends at {how.write(_mean_line(runs)[-1][1])}" for row, _, _, runs in lines]
    drawing = Drawing(width, height, f"{title}, by epoch", "; ".join(ends))
    drawing.write(0, 16, title, "title")
    every = [point for _, _, _, runs in lines for points in runs for point in points]
    last = max(epoch for epoch, _ in every)
    # The first fifth falls so steeply that the rest would be flat.
    settled = [v * how.scale for epoch, v in every if epoch > last / 5] or [v for _, v in every]
    y = scale(settled, height - 38, top)
    left = CHAR * max(len(tick_text(t, y.ticks)) for t in y.ticks) + 6
    x = scale([min(e for e, _ in every), last], left, width - SIDE, integer=True, n_ticks=6)
    x = Scale(min(e for e, _ in every), max(last, 1e-9), left, width - SIDE, x.ticks)
    _y_axis(drawing, y, left, width - SIDE)
    for tick in x.ticks:
        if x.low <= tick <= x.high:
            drawing.write(x(tick), height - 22, tick_text(tick, x.ticks), "tick middle")
    drawing.write((left + width - SIDE) / 2, height - 7, "epoch", "tick middle")
    box = (left, top, width - SIDE - left, height - 38 - top)
    inner = drawing.add("svg", x=box[0], y=box[1], width=box[2], height=box[3])
    inner.set("viewBox", " ".join(f"{side:g}" for side in box))
    outer, drawing.root = drawing.root, inner
    for row, colour, style, runs in lines:
        _band(drawing, x, y, how, row.name, colour, style, runs)
    drawing.root = outer
    if legend:
        for k, (row, colour, style, _) in enumerate(lines):
            at = TOP + 17 * k
            drawing.line(0, at + 4, 18, at + 4, f"mean s{colour} {style}")
            drawing.write(25, at + 8, row.name, "label", width - 25)
    return drawing.text()


def marginal_effect(
    rows: Sequence[ResultRow], axis: str, name: str, *, width: float = WIDTH
) -> str:
    """Draw what one setting does to a metric, whatever the other settings are.

    A thin line joins the rows that differ in this axis alone; where they run side by side the
    effect is the same everywhere, where they cross it depends on the other settings. The dots are
    means over the combinations of the other settings that were run with every value of the axis,
    so that no value is favoured by its company.

    Args:
        rows: Model rows with `settings`.
        axis: A setting that varies.
        name: The metric; `val/<metric>` asks for validation.
        width: In px.

    Raises:
        ValueError: If the axis has fewer than two values with that metric.
    """
    how = metric(name)
    values, lines = _effect_lines(rows, axis, name)
    if len(values) < 2:
        raise ValueError(f"{axis!r} has fewer than two values with the metric {name!r}")
    whole = [line for line in lines.values() if len(line) == len(values)]
    means = {value: fmean(line[value] for line in whole) for value in values} if whole else {}
    said = "; ".join(f"{value} {how.write(mean)}" for value, mean in means.items())
    height = TOP + 190.0
    drawing = Drawing(width, height, f"{how.head} by {axis}", said or "no combination is complete")
    drawing.write(0, 16, f"{how.headline} by {axis}", "title", width)
    bottom = height - 36
    y = scale([v * how.scale for line in lines.values() for v in line.values()], bottom, TOP + 6)
    left = CHAR * max(len(tick_text(t, y.ticks)) for t in y.ticks) + 6
    _y_axis(drawing, y, left, width - SIDE)
    step = (width - SIDE - left) / len(values)
    place = {value: left + step * (k + 0.5) for k, value in enumerate(values)}
    for value, at in place.items():
        drawing.write(at, height - 18, value, "tick middle", step - 2)
    for other, line in sorted(lines.items()):
        points = [(place[v], y(line[v] * how.scale)) for v in values if v in line]
        about = ", ".join(other) or axis
        drawing.add("path", "thin", tip=about, d=path(points))
        for cx, cy in points:
            drawing.add("circle", "seed", tip=about, cx=cx, cy=cy, r=2)
    if means:
        points = [(place[value], y(mean * how.scale)) for value, mean in means.items()]
        drawing.add("path", "mean s1", d=path(points))
        for value, (cx, cy) in zip(means, points, strict=True):
            tip = f"{axis}={value}: {how.write(means[value])}"
            drawing.add("circle", "dot s1", tip=tip, cx=cx, cy=cy, r=5)
            drawing.write(cx, cy - 10, how.write(means[value]), "value middle")
    return drawing.text()


def _y_axis(drawing: Drawing, y: Scale, left: float, right: float) -> None:
    for tick in y.ticks:
        drawing.line(left, y(tick), right, y(tick), "grid")
        drawing.write(left - 6, y(tick) + 4, tick_text(tick, y.ticks), "tick end")


def _style(rows: Sequence[ResultRow], place: int) -> str:
    """Return the stroke of a row: with more than eight rows colours come again, dashed."""
    return "dashed" if sum(row.kind == "model" for row in rows[:place]) // 8 % 2 else ""


def _points(records: Sequence[Mapping[str, float]], column: str) -> Points:
    found = [(r["epoch"], r[column]) for r in records if column in r and "epoch" in r]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _mean_line(runs: Sequence[Points]) -> list[tuple[float, float, float, float, int]]:
    """Return epoch, mean, lowest, highest and number of runs, epoch by epoch."""
    of: dict[float, list[float]] = {}
    for points in runs:
        for epoch, value in dict(points).items():
            of.setdefault(epoch, []).append(value)
    return [(epoch, fmean(v), min(v), max(v), len(v)) for epoch, v in sorted(of.items())]


def _band(
    drawing: Drawing,
    x: Scale,
    y: Scale,
    how: Metric,
    name: str,
    colour: int,
    style: str,
    runs: Sequence[Points],
) -> None:
    line = _mean_line(runs)
    if len(runs) > 1:
        upper = [(x(e), y(high * how.scale)) for e, _, _, high, _ in line]
        lower = [(x(e), y(low * how.scale)) for e, _, low, _, _ in line]
        drawing.add("path", f"band s{colour}", d=path([*upper, *lower[::-1]], close=True))
    for all_left, part in itertools.groupby(line, key=lambda point: point[4] == len(runs)):
        points = [(x(e), y(mean * how.scale)) for e, mean, *_ in part]
        if len(points) == 1:
            drawing.add("circle", f"dot s{colour}", name, cx=points[0][0], cy=points[0][1], r=2.5)
        kind = f"mean s{colour} {style if all_left else 'fewer'}".rstrip()
        drawing.add("path", kind, name, d=path(points))


def _effect_lines(
    rows: Sequence[ResultRow], axis: str, name: str
) -> tuple[list[str], dict[tuple[str, ...], dict[str, float]]]:
    """Return the values of an axis and, per combination of the others, value to figure."""
    values: dict[str, None] = {}
    lines: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        figure = figure_of(row, name)
        if axis in row.settings and figure is not None and math.isfinite(figure.value):
            others = tuple(f"{k}={v}" for k, v in sorted(row.settings.items()) if k != axis)
            values[row.settings[axis]] = None
            lines.setdefault(others, {})[row.settings[axis]] = figure.value
    numeric = all(_is_number(value) for value in values)
    return sorted(values, key=float) if numeric else list(values), lines


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
