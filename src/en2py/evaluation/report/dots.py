"""Dots with intervals, as SVG: a metric over rows, and differences from the reference row.

Every function returns the text of one `<svg>`; `svg.standalone` makes a file of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from en2py.evaluation.metrics.registry import Metric, figure_of, metric
from en2py.evaluation.report.svg import SIDE, TOP, WIDTH, Drawing, Scale, scale, tick_text
from en2py.evaluation.report.tables import colour_of, sorted_seeds
from en2py.evaluation.results import ResultRow


@dataclass(frozen=True)
class _Dot:
    """A line of a dot plot: a name, a value with its interval, the seeds behind it."""

    name: str
    text: str
    interval: str
    style: str
    value: float
    ends: tuple[float, float] | None
    seeds: list[tuple[str, float]]


def dot_plot(
    rows: Sequence[ResultRow], name: str, *, reference: str = "", width: float = WIDTH
) -> str:
    """Draw a metric: a dot a row, its 95 % interval as a bar, its seeds as small dots.

    Args:
        rows: Models, then baselines; rows that lack the metric are passed over.
        name: The metric; `val/<metric>` asks for validation.
        reference: Name of the row whose value goes through the picture as a line.
        width: In px.

    Raises:
        ValueError: If no row has the metric.
    """
    how = metric(name)
    dots = []
    for i, row in enumerate(rows):
        figure = figure_of(row, name)
        if figure is not None and math.isfinite(figure.value):
            several = sorted_seeds(figure.by_seed) if len(figure.by_seed) > 1 else []
            dots.append(
                _Dot(
                    row.name,
                    how.write(figure.value),
                    how.interval(figure.low, figure.high),
                    _own_class(rows, i),
                    figure.value * how.scale,
                    _ends(how, figure.low, figure.high),
                    [(f"seed {seed}: {how.write(v)}", v * how.scale) for seed, v in several],
                )
            )
    if not dots:
        raise ValueError(f"no row has the metric {name!r}")
    line = next((dot.value for dot in dots if dot.name == reference), None)
    return _draw_dots(
        how, how.headline, dots, line, (0, 100 if how.unit == "%" else math.inf), width
    )


def difference_plot(rows: Sequence[ResultRow], name: str, *, width: float = WIDTH) -> str:
    """Draw how far rows are from the reference row, with 95 % intervals and a line at none.

    A filled dot is a difference, a hollow one may be chance.

    Args:
        rows: Rows; those without such a difference are passed over.
        name: The metric.
        width: In px.

    Raises:
        ValueError: If no row has the difference.
    """
    how = metric(name)
    dots = []
    for i, row in enumerate(rows):
        found = row.differences.get(name)
        if found is not None and math.isfinite(found.value):
            dots.append(
                _Dot(
                    row.name,
                    how.change(found.value),
                    how.change_interval(found.low, found.high),
                    _own_class(rows, i) + ("" if found.is_significant else " chance"),
                    found.value * how.scale,
                    _ends(how, found.low, found.high),
                    [],
                )
            )
    if not dots:
        raise ValueError(f"no row has a difference in {name!r}")
    return _draw_dots(how, how.change_head, dots, 0.0, (-math.inf, math.inf), width)


def _own_class(rows: Sequence[ResultRow], place: int) -> str:
    colour = colour_of(rows, place)
    return f"s{colour}" if colour else "baseline"


def _ends(how: Metric, low: float | None, high: float | None) -> tuple[float, float] | None:
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return low * how.scale, high * how.scale


def _draw_dots(
    how: Metric,
    title: str,
    dots: Sequence[_Dot],
    line: float | None,
    within: tuple[float, float],
    width: float,
) -> str:
    """Draw a plot of dots: on each line a name and its value, below them the dot.

    Args:
        how: The metric.
        title: Above the picture.
        dots: From top to bottom.
        line: Where a line goes through all of them.
        within: What lies outside is cut off: a share is never above 100 %.
        width: In px.
    """
    values = [v for dot in dots for v in (dot.value, *(dot.ends or ()), *(v for _, v in dot.seeds))]
    values += [] if line is None else [line]
    right = width - SIDE
    x = scale([min(max(v, within[0]), within[1]) for v in values], SIDE, right, within=within)
    height = TOP + 34.0 * len(dots) + 26
    said = "; ".join(f"{d.name} {d.text}{d.interval and f' ({d.interval})'}" for d in dots)
    drawing = Drawing(width, height, f"{title}, with 95 % intervals", said)
    drawing.write(0, 16, title, "title", width)
    bottom = height - 22
    _x_axis(drawing, x, TOP, bottom)
    if line is not None:
        drawing.line(x(line), TOP, x(line), bottom, "reference")
    for k, dot in enumerate(dots):
        top = TOP + 34 * k
        room = width - 2 * SIDE - 8 * len(dot.text)
        drawing.write(0, top + 12, dot.name, f"label {dot.style}", room)
        drawing.write(width, top + 12, dot.text, "value end")
        y = top + 23
        if dot.ends:
            low, high = (x(min(max(end, x.low), x.high)) for end in dot.ends)
            drawing.line(low, y, high, y, f"interval {dot.style}")
        for about, value in dot.seeds:
            drawing.add("circle", f"seed {dot.style}", about, cx=x(value), cy=y, r=2)
        tip = f"{dot.name}: {dot.text}{dot.interval and f' ({dot.interval})'}"
        drawing.add("circle", f"dot {dot.style}", tip, cx=x(dot.value), cy=y, r=4.5)
    return drawing.text()


def _x_axis(drawing: Drawing, x: Scale, top: float, bottom: float) -> None:
    for tick in x.ticks:
        drawing.line(x(tick), top, x(tick), bottom, "grid")
        place = "start" if x(tick) < 24 else "end" if x(tick) > x.end - 14 else "middle"
        drawing.write(x(tick), bottom + 15, tick_text(tick, x.ticks), f"tick {place}")
