"""The pen of the figures: SVG elements, scales and ticks.

Colours and fonts are classes, so that one picture fits a light and a dark page. Built as a tree,
so no text of data can end up as markup.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from xml.etree import ElementTree as ET

from matplotlib.ticker import MaxNLocator

from en2py.evaluation.report.markdown import visible

# All in px. A picture is as wide as a phone, or a third of a desk's page.
WIDTH = 360.0
SIDE = 6.0  # room for half a dot
TOP = 30.0  # room for a title
CHAR = 6.1  # mean width of a letter at 11.5 px


class Drawing:
    """An SVG picture of some width and height in px, with its text alternative.

    Args:
        width: Of the view box.
        height: Of the view box.
        title: What it shows; also the accessible name.
        description: The figures in words, for who cannot see it.
    """

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "class": "figure",
                "viewBox": f"0 0 {_short(width)} {_short(height)}",
                "width": _short(width),
                "height": _short(height),
                "role": "img",
                "aria-label": visible(f"{title}. {description}"),
            },
        )

    def add(self, tag: str, kind: str = "", tip: str = "", **attributes: float | str) -> ET.Element:
        """Add an element.

        Args:
            tag: Of SVG.
            kind: Its classes.
            tip: Shown on pointing at it.
            **attributes: Of the element; `_` stands for `-`.
        """
        record = {key.replace("_", "-"): _text(value) for key, value in attributes.items()}
        if kind:
            record["class"] = kind
        element = ET.SubElement(self.root, tag, record)
        if tip:
            ET.SubElement(element, "title").text = visible(tip)
        return element

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Add a straight line."""
        self.add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def write(self, x: float, y: float, text: str, kind: str, room: float = math.inf) -> None:
        """Add a text, cut to the room in px."""
        fits = max(1, int(min(room / CHAR, 10_000)))
        shown = text if len(text) <= fits else f"{text[: fits - 1]}…"
        self.add("text", kind, tip=text if shown != text else "", x=x, y=y)
        # The tip comes first among the children, the text after it.
        element = self.root[-1]
        if len(element):
            element[0].tail = visible(shown)
        else:
            element.text = visible(shown)

    def text(self) -> str:
        """Return the picture as SVG text for an HTML page."""
        return ET.tostring(self.root, encoding="unicode")


def standalone(figure: str) -> str:
    """Return a figure as a file of its own, with its style; it follows light and dark as a page."""
    folder = files("en2py.evaluation.report") / "templates"
    style = "".join(
        (folder / name).read_text(encoding="utf-8") for name in ("colours.css", "figures.css")
    )
    style += "\nsvg.figure{background:var(--paper)}"
    start = figure.index(">") + 1
    return f"{figure[:start]}<style>{style}</style>{figure[start:]}\n"


@dataclass(frozen=True)
class Scale:
    """Values to px, along an axis.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: In px.
        end: In px.
        ticks: Round values between.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Return the place of a value, in px."""
        span = self.high - self.low or 1.0  # a curve of one epoch has none
        share = (value - self.low) / span
        return self.start + share * (self.end - self.start)


def scale(
    values: Iterable[float | None],
    start: float,
    end: float,
    *,
    n_ticks: int = 4,
    integer: bool = False,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Scale:
    """Return a scale that holds all values between round ends.

    Args:
        values: What has to fit; None and what is not finite is passed over.
        start: Place of the low end, in px.
        end: Place of the high end, in px.
        n_ticks: About so many.
        integer: Ticks at whole numbers only.
        within: The ends never go beyond: 0 and 1 for shares.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low == high:
        room = abs(low) / 10 or 0.1
        low, high = max(low - room, within[0]), min(high + room, within[1])
    ticks = MaxNLocator(n_ticks, integer=integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    inside = [float(tick) for tick in ticks if within[0] <= tick <= within[1]]
    low, high = min(low, inside[0]), max(high, inside[-1])
    return Scale(low, high, start, end, tuple(inside))


def path(points: Sequence[tuple[float, float]], *, close: bool = False) -> str:
    """Return the `d` of a line through points."""
    steps = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
    return f"M{steps}{'Z' if close else ''}"


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """Write a tick with as many digits as tell it from its neighbour."""
    step = min((b - a for a, b in zip(ticks, ticks[1:], strict=False)), default=1.0)
    digits = max(0, math.ceil(-math.log10(step) - 1e-9)) if step > 0 else 0
    while digits < 6 and abs(round(step, digits) - step) > step / 1e6:
        digits += 1
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else _short(value)
