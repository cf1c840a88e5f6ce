"""One style for all figures, and their files: SVG for a page; SVG, PDF and PNG for a document.

Sizes are in points. In a page text and axes have the text color of the page (`currentColor`); a
file has dark text on white and a margin. Text stays text, so that it can be searched and that names
in any script are shown. Equal figures produce equal bytes.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from en2py.data.files import write_atomically
from en2py.evaluation.plots.style import INK, PALETTE, visible

FORMATS = ("svg", "pdf", "png")
_SVG = "http://www.w3.org/2000/svg"
_FONTS = "'DejaVu Sans', Verdana, sans-serif"  # matplotlib's own first: it set the widths
_PAGE_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_MARGIN = 8.0
_DPI = 200  # of PNG
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "font.size": 11.5,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-6, 9),
    "grid.color": INK,
    "grid.alpha": 0.16,
    "grid.linewidth": 1,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    **{f"{axis}tick.color": INK for axis in "xy"},
    **{f"{axis}tick.labelsize": 10.5 for axis in "xy"},
    **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
}

ET.register_namespace("", _SVG)
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Set the style of the figures, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


@dataclass(frozen=True)
class Picture:
    """A figure and its text alternative."""

    figure: Figure
    description: str

    @property
    def page_svg(self) -> str:
        """Return SVG for a page: no margin, transparent, its text has the color of the page."""
        return self._svg({"facecolor": "none"}, ink="currentColor", fonts=_PAGE_FONTS)

    def file(self, kind: str) -> bytes:
        """Return the content of a file, one of `FORMATS`, with a margin and a white background."""
        with figure_style():
            inches = self.figure.get_size_inches()
            box = mpl.transforms.Bbox.from_extents(0, 0, *inches).padded(_MARGIN / 72)
            how = {"facecolor": "white", "bbox_inches": box}
            if kind == "svg":
                return self._svg(how, ink=INK, fonts=_FONTS).encode("utf-8", "backslashreplace")
            metadata = {"pdf": {"CreationDate": None, "Title": visible(self.description)},
                        "png": {"Software": None}}[kind]  # fmt: skip
            return self._saved(kind, dpi=_DPI, metadata=metadata, **how)

    def write(self, path: Path) -> None:
        """Write a file for each of `FORMATS`; the path has no ending."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for kind in FORMATS:
            write_atomically(path.with_name(f"{path.name}.{kind}"), self.file(kind))

    def _saved(self, kind: str, **how: Any) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # matplotlib's font may lack a character
            self.figure.savefig(buffer, format=kind, **how)
        return buffer.getvalue()

    def _svg(self, how: dict[str, Any], *, ink: str, fonts: str) -> str:
        """Return SVG with attributes instead of styles, saved with these arguments.

        The policy of a report's page forbids inline styles, and converters differ in CSS.
        """
        description = visible(self.description)
        with figure_style():
            mpl.rcParams["svg.hashsalt"] = description  # ids that no other picture of a page has
            metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            root = ET.fromstring(self._saved("svg", metadata=metadata, **how))
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"):
                    parent.remove(child)
        for element in root.iter():
            for declaration in element.attrib.pop("style", "").split(";"):
                key, _, value = (text.strip() for text in declaration.partition(":"))
                if key and key != "font-family":
                    element.set(key, ink if value == INK else value)
            if element.tag == f"{{{_SVG}}}g":
                element.attrib.pop("id", None)  # nothing refers to groups
        _, _, width, height = root.attrib["viewBox"].split()
        root.attrib = {
            **{"class": "figure", "viewBox": f"0 0 {width} {height}", "role": "img"},
            **{"width": width, "height": height, "font-family": fonts},
            **{"stroke-linejoin": "round", "aria-label": description},
        }
        return ET.tostring(root, encoding="unicode") + "\n"
