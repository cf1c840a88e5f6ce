"""SVG pictures of a comparison: dot plots, differences, learning curves, effects of settings.

Every function returns SVG text, for a page or a file. Text and axes have the text colour of the
page (`currentColor`, which is a neutral grey in a file), the colours of rows are legible on light
and dark pages, the background is transparent. Text stays text, so that it can be searched and that
names in any script are shown. Equal input gives equal bytes.

Sizes are in points of the view box, which a page shows as CSS pixels.
"""

import contextlib
import io
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from en2py.evaluation.metrics.registry import Metric, figure_of, metric
from en2py.evaluation.plots.style import (
    NEUTRAL,
    PALETTE,
    colour_number,
    row_number,
    shortened,
    visible,
)
from en2py.evaluation.results import ResultRow

_SVG = "http://www.w3.org/2000/svg"
_WIDTH = 360.0  # as wide as a phone, or a third of a desktop page
_MARGIN = 16.0  # half a tick label
_TOP = 30.0  # room for the title
_ROW = 34.0  # a row of a dot plot: its name, below it the dot
_CHAR = 6.4  # mean width of a character
_STEPS = [1, 2, 2.5, 5, 10]
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": NEUTRAL,
    "font.size": 11.5,
    "axes.edgecolor": NEUTRAL,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-6, 9),
}

_Points = list[tuple[float, float]]  # epoch, value

ET.register_namespace("", _SVG)
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")


@dataclass(frozen=True)
class _Dot:
    """A row of a dot plot; numbers are in the unit of the picture.

    Attributes:
        name: Of the result row.
        value: Written beside the name.
        interval: Written in the description.
        x: Where the dot is drawn.
        ends: The 95 % interval.
        seeds: Values of single seeds.
        colour: Of the row.
        is_filled: False for baselines and for differences that are not significant.
    """

    name: str
    value: str
    interval: str
    x: float
    ends: tuple[float, float] | None
    seeds: list[float]
    colour: str
    is_filled: bool


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Set the style of the pictures, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


@_style()
def dot_plot(rows: Sequence[ResultRow], name: str, *, reference: str = "") -> str:
    """Draw a metric: a dot per row, its 95 % interval as a bar, its seeds as small dots.

    Args:
        rows: Models, then baselines; rows without the metric are left out.
        name: The metric; `val/<metric>` is that of validation.
        reference: Name of the row whose value is drawn as a dotted line.

    Raises:
        ValueError: If no row has the metric.
    """
    how = metric(name)
    dots = []
    for i, row in enumerate(rows):
        figure = figure_of(row, name)
        if figure is not None and math.isfinite(figure.value):
            seeds = list(figure.by_seed.values()) if len(figure.by_seed) > 1 else []
            dots.append(
                _Dot(
                    row.name,
                    how.write(figure.value),
                    how.interval(figure.low, figure.high),
                    figure.value * how.scale,
                    _ends(how, figure.low, figure.high),
                    [value * how.scale for value in seeds],
                    _colour(rows, i),
                    is_filled=row.kind == "model",
                )
            )
    if not dots:
        raise ValueError(f"no row has the metric {name!r}")
    line = next((dot.x for dot in dots if dot.name == reference), None)
    bounds = (0.0, 100.0) if how.unit == "%" else (-math.inf, math.inf)
    return _draw_dots(how.headline, dots, line, bounds)


@_style()
def difference_plot(rows: Sequence[ResultRow], name: str) -> str:
    """Draw the differences from the reference row, with 95 % intervals and a line at 0.

    Args:
        rows: Rows; those without such a difference are left out.
        name: The metric.

    Raises:
        ValueError: If no row has the difference.
    """
    how = metric(name)
    dots = [
        _Dot(
            row.name,
            how.change(found.value),
            how.change_interval(found.low, found.high),
            found.value * how.scale,
            _ends(how, found.low, found.high),
            [],
            _colour(rows, i),
            is_filled=found.is_significant,
        )
        for i, row in enumerate(rows)
        if (found := row.differences.get(name)) is not None and math.isfinite(found.value)
    ]
    if not dots:
        raise ValueError(f"no row has a difference in {name!r}")
    return _draw_dots(how.change_head, dots, 0.0, (-math.inf, math.inf))


@_style()
def learning_curves(
    rows: Sequence[ResultRow], curves: Mapping[str, Sequence[Mapping[str, float]]], column: str
) -> str:
    """Draw a logged value over epochs: the mean of a row's runs, a band from lowest to highest run.

    Where some runs of a row have already ended, the line is dotted: the mean of the others.

    Args:
        rows: Rows with the names of their `runs`; those without curves are left out.
        curves: Run to rows of its metrics file.
        column: As logged: `val/nll`.

    Raises:
        ValueError: If no run logged the column.
    """
    part, _, name = column.partition("/")
    how = metric(name)
    series = []
    for i, row in enumerate(rows):
        runs = [_points(curves.get(run, ()), column, how.scale) for run in row.runs]
        if any(runs):
            style = "--" if (row_number(rows, i) or 0) // len(PALETTE) % 2 else "-"
            series.append((row.name, _colour(rows, i), style, [run for run in runs if run]))
    if not series:
        raise ValueError(f"no run logged {column!r}")
    part = {"val": "validation", "train": "training sample"}.get(part, part)
    title, top = f"{how.head}, {part}", _TOP + 17 * len(series) + 8
    figure, axes = _figure(title, top + 208, top=top, left=46, bottom=38)
    for k, (name, colour, style, runs) in enumerate(series):
        _draw_curve(axes, runs, colour, style)
        y = _TOP + 17 * k
        _add_line(figure, (2, 20), y + 5, color=colour, ls=style, lw=2)
        _write(figure, 27, y + 9, shortened(name, int((_WIDTH - 27) / _CHAR)), size=11)
    points = [point for _, _, _, runs in series for run in runs for point in run]
    first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
    # The first fifth is so steep that it would flatten the rest.
    settled = [value for epoch, value in points if epoch > last / 5] or [v for _, v in points]
    axes.set_ylim(*_padded(settled))
    axes.set_xlim(first - 1e-9, max(last, first + 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(visible=False, axis="x")
    _write(figure, (46 + _WIDTH) / 2, top + 204, "epoch", size=10.5, ha="center")
    ends = (f"{name} ends at {_mean_line(runs)[-1][1]:.4g}" for name, _, _, runs in series)
    return _to_svg(figure, f"{title}, by epoch. {'; '.join(ends)}")


@_style()
def marginal_effect(rows: Sequence[ResultRow], setting: str, name: str) -> str:
    """Draw the effect of one setting on a metric over all values of the other settings.

    A thin line joins the rows that differ in this setting alone: parallel lines mean the same
    effect everywhere, crossing lines an interaction. Large dots are means over the combinations of
    the other settings that were run with every value, so that no value is favoured.

    Args:
        rows: Model rows with `settings`.
        setting: A setting that varies.
        name: The metric; `val/<metric>` is that of validation.

    Raises:
        ValueError: If the setting has fewer than two values with that metric.
    """
    how = metric(name)
    values, lines = _by_other_settings(rows, setting, name)
    if len(values) < 2:
        raise ValueError(f"{setting!r} has fewer than two values with the metric {name!r}")
    complete = [line for line in lines.values() if len(line) == len(values)]
    means = [fmean(line[value] for line in complete) for value in values] if complete else []
    figure, axes = _figure(f"{how.headline} by {setting}", 220, left=46, bottom=30)
    for _, line in sorted(lines.items()):
        places = [i for i, value in enumerate(values) if value in line]
        heights = [line[values[i]] * how.scale for i in places]
        axes.plot(places, heights, color=NEUTRAL, lw=1, alpha=0.7, marker="o", ms=3.5)
    scaled = [mean * how.scale for mean in means]
    axes.plot(range(len(means)), scaled, color=PALETTE[0], lw=2, marker="o", ms=9)
    axes.set_ylim(*_padded([v * how.scale for line in lines.values() for v in line.values()], 0.2))
    for i, (mean, y) in enumerate(zip(means, scaled, strict=True)):
        axes.annotate(how.write(mean), (i, y), (0, 8), textcoords="offset points", ha="center")
    axes.set_xlim(-0.5, len(values) - 0.5)
    room = int((_WIDTH - 46 - _MARGIN) / len(values) / _CHAR)
    axes.set_xticks(range(len(values)), [visible(shortened(value, room)) for value in values])
    axes.grid(visible=False, axis="x")
    shown = "; ".join(f"{v} {how.write(mean)}" for v, mean in zip(values, means, strict=False))
    return _to_svg(figure, f"{how.head} by {setting}. {shown or 'No combination is complete'}")


def _draw_dots(
    title: str, dots: Sequence[_Dot], line: float | None, bounds: tuple[float, float]
) -> str:
    """Draw rows of dots, first row at the top, with a dotted vertical line at `line`."""
    top, bottom = _TOP, 22.0
    figure, axes = _figure(title, top + _ROW * len(dots) + bottom + 4, top=top, bottom=bottom)
    values = [v for dot in dots for v in (dot.x, *(dot.ends or ()), *dot.seeds)]
    values += [] if line is None else [line]
    axes.set_xlim(*_padded([min(max(v, bounds[0]), bounds[1]) for v in values]))
    axes.set_ylim(_ROW * len(dots) + 4, 0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.set_yticks([])
    if line is not None:
        axes.axvline(line, color=NEUTRAL, lw=1, ls=(0, (2, 3)))
    for k, dot in enumerate(dots):
        room = int((_WIDTH - 16 - _CHAR * 1.2 * len(dot.value)) / _CHAR)
        _write(figure, 0, top + _ROW * k + 12, shortened(dot.name, room))
        _write(figure, _WIDTH, top + _ROW * k + 12, dot.value, ha="right")
        y, colour = _ROW * k + 23, dot.colour
        if dot.ends:
            low, high = (min(max(end, bounds[0]), bounds[1]) for end in dot.ends)
            alpha = 0.4 if dot.is_filled else 0.25
            axes.plot([low, high], [y, y], color=colour, lw=5, alpha=alpha, clip_on=False)
        axes.plot(dot.seeds, [y] * len(dot.seeds), "o", color=colour, ms=4, mew=0, alpha=0.8)
        face = colour if dot.is_filled else "none"
        axes.plot([dot.x], [y], "o", color=colour, ms=9, mew=1.8, mfc=face, clip_on=False)
    texts = (f"{dot.name} {dot.value}{dot.interval and f' ({dot.interval})'}" for dot in dots)
    return _to_svg(figure, f"{title}, with 95 % intervals. {'; '.join(texts)}")


def _draw_curve(axes: Axes, runs: Sequence[_Points], colour: str, style: str) -> None:
    line = _mean_line(runs)
    if len(runs) > 1:
        epochs, _, low, high, _ = zip(*line, strict=True)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, lw=0)
    for is_complete, part in itertools.groupby(line, key=lambda point: point[4] == len(runs)):
        epochs, means, *_ = zip(*part, strict=True)
        kind: dict[str, Any] = {"ls": style if is_complete else ":", "lw": 2}
        axes.plot(epochs, means, color=colour, marker="o" if len(epochs) == 1 else "", ms=5, **kind)


def _figure(
    title: str, height: float, *, top: float = _TOP, left: float = _MARGIN, bottom: float
) -> tuple[Figure, Axes]:
    """Return a figure with a title, and axes within margins."""
    figure = Figure(figsize=(_WIDTH / 72, height / 72))
    figure.patch.set_visible(False)
    _write(figure, 0, 16, shortened(title, int(_WIDTH / 7.5)), size=13, weight="bold")
    width = (_WIDTH - left - _MARGIN) / _WIDTH
    axes = figure.add_axes((left / _WIDTH, bottom / height, width, 1 - (top + bottom) / height))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=10.5, colors=NEUTRAL)
    axes.grid(color=NEUTRAL, alpha=0.18, lw=1)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    return figure, axes


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text at a place from the upper left corner."""
    figure.text(x / _WIDTH, 1 - y / (figure.get_figheight() * 72), visible(text), **style)


def _add_line(figure: Figure, ends: tuple[float, float], y: float, **style: Any) -> None:
    height = 1 - y / (figure.get_figheight() * 72)
    figure.add_artist(Line2D([x / _WIDTH for x in ends], [height, height], **style))


def _to_svg(figure: Figure, description: str) -> str:
    """Return a figure as SVG with a text alternative.

    Styles become attributes, because the policy of the page forbids inline styles.
    """
    description = visible(description)
    mpl.rcParams["svg.hashsalt"] = description  # ids that no other picture of a page has
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # matplotlib's font may lack a character
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=metadata)
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"):
                parent.remove(child)
    for element in root.iter():
        for declaration in element.attrib.pop("style", "").split(";"):
            key, _, value = (text.strip() for text in declaration.partition(":"))
            if key and key != "font-family":
                element.set(key, "currentColor" if value == NEUTRAL else value)
        if element.tag == f"{{{_SVG}}}g":
            element.attrib.pop("id", None)  # nothing refers to groups
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib = {
        **{"class": "figure", "viewBox": f"0 0 {width} {height}", "role": "img"},
        **{"width": width, "height": height, "color": NEUTRAL, "font-family": _FONTS},
        **{"stroke-linejoin": "round", "aria-label": description},
    }
    return ET.tostring(root, encoding="unicode") + "\n"


def _padded(values: Sequence[float], share: float = 0.05) -> tuple[float, float]:
    """Return limits with room around finite values."""
    low, high = min(values), max(values)
    room = share * (high - low) or abs(low) / 10 or 0.1
    return low - room, high + room


def _colour(rows: Sequence[ResultRow], place: int) -> str:
    number = colour_number(rows, place)
    return NEUTRAL if number is None else PALETTE[number]


def _ends(how: Metric, low: float | None, high: float | None) -> tuple[float, float] | None:
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return low * how.scale, high * how.scale


def _points(records: Sequence[Mapping[str, float]], column: str, scale: float) -> _Points:
    """Return epochs with scaled values, without what was not logged or is not finite."""
    found = [(r["epoch"], r[column] * scale) for r in records if column in r and "epoch" in r]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _mean_line(runs: Sequence[_Points]) -> list[tuple[float, float, float, float, int]]:
    """Return epoch, mean, lowest, highest and number of runs, epoch by epoch."""
    by_epoch: dict[float, list[float]] = {}
    for points in runs:
        for epoch, value in dict(points).items():
            by_epoch.setdefault(epoch, []).append(value)
    return [(epoch, fmean(v), min(v), max(v), len(v)) for epoch, v in sorted(by_epoch.items())]


def _by_other_settings(
    rows: Sequence[ResultRow], setting: str, name: str
) -> tuple[list[str], dict[tuple[str, ...], dict[str, float]]]:
    """Return the values of a setting and, per combination of the others, value to figure."""
    values: dict[str, None] = {}
    lines: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        figure = figure_of(row, name)
        if setting in row.settings and figure is not None and math.isfinite(figure.value):
            others = tuple(f"{k}={v}" for k, v in sorted(row.settings.items()) if k != setting)
            values[row.settings[setting]] = None
            lines.setdefault(others, {})[row.settings[setting]] = figure.value
    try:
        return sorted(values, key=float), lines
    except ValueError:  # not all are numbers
        return list(values), lines
