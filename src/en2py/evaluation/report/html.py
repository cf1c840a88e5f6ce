"""A page from its parts: one HTML file that needs nothing else, from the templates beside this.

Every text of data is escaped on its way in, and the page's own policy forbids any script but its
own and any request to a network.
"""

import base64
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from en2py.evaluation.report.markdown import visible
from en2py.evaluation.report.tables import Table

STYLES = ("colours.css", "page.css", "figures.css")


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: Its heading, and its link in the list of contents.
        body: Made by the functions below, or of a template: nothing unescaped may be in it.
        lead: A sentence below the heading.
    """

    title: str
    body: Markup
    lead: str = ""

    @property
    def anchor(self) -> str:
        """Return its id in the page."""
        return "-".join(self.title.lower().split())


def page(
    title: str, answer: Sequence[str], sections: Sequence[Section], *, scripts: Sequence[str] = ()
) -> str:
    """Return a whole page.

    Args:
        title: Of the page.
        answer: What came out, a paragraph each, at the top.
        sections: Parts in order; an empty body is passed over.
        scripts: Names of script files among the templates.
    """
    style = "\n".join(template_text(name) for name in STYLES)
    script = "\n".join(template_text(name) for name in scripts)
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            answer=answer,
            sections=[section for section in sections if section.body],
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )


def render(template: str, **values: Any) -> Markup:
    """Fill a template; texts are escaped."""
    return Markup(_environment().get_template(template).render(**values))


def table(content: Table) -> Markup:
    """Return a table that scrolls in its own box where it is too wide."""
    return render("table.html", table=content)


def folded(summary: str, body: Markup) -> Markup:
    """Return a part that opens on a click."""
    return render("folded.html", summary=summary, body=body)


def facts(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Return labels with their texts; long ones get a line of their own."""
    wide = any(len(label) + len(text) > 46 for label, text in pairs)
    return render("facts.html", pairs=pairs, wide=wide)


def figures(
    pictures: Sequence[str], *, caption: str, legend: Sequence[tuple[int, str]] = ()
) -> Markup:
    """Return pictures side by side, as many as there is room for.

    Args:
        pictures: SVG texts of `figures`.
        caption: Below them.
        legend: Number of a colour and name of its row.
    """
    return render(
        "figures.html", pictures=[Markup(svg) for svg in pictures], caption=caption, legend=legend
    )


def joined(*parts: Markup) -> Markup:
    """Put parts one below the other."""
    return Markup("\n").join(parts)


def coloured(code: str) -> Markup:
    """Return Python code with its syntax in classes; broken code too."""
    text = visible(code.strip("\n").rstrip())
    return Markup(highlight(text, _LEXER, _FORMATTER).removesuffix("\n"))


def template_text(name: str) -> str:
    """Read a file of the templates folder."""
    folder = files("en2py.evaluation.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")


# Tabs, blank lines at the start: nothing of the program is changed but the line end at its end.
_LEXER = PythonLexer(stripnl=False, ensurenl=False)
_FORMATTER: Any = HtmlFormatter(nowrap=True)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(template_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["coloured"] = coloured
    return environment


def _hash(text: str) -> str:
    """Return the digest by which the page's policy knows its own script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
