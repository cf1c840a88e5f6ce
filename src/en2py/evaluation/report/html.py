"""Render a report as one HTML file that needs no other file and no network.

Every text of data is escaped, and the content security policy of the page forbids any script or
style but its own and any request to a network.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from en2py.evaluation.plots.style import PALETTE, visible
from en2py.evaluation.report.sections import Section

# Blank lines at the start are kept: nothing of a program changes but its end.
_LEXER = PythonLexer(stripnl=False, ensurenl=False)
_FORMATTER: Any = HtmlFormatter(nowrap=True)


def report_html(title: str, summary: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page of a report, with the paragraphs of its summary at the top."""
    colors = "\n".join(f".s{i} {{ --own: {color}; }}" for i, color in enumerate(PALETTE))
    style = template_text("page.css") + colors
    script = "".join(map(template_text, ("tables.js", "samples.js", "attention.js")))
    return _ENVIRONMENT.get_template("report.html.j2").render(
        title=title,
        summary=summary,
        sections=sections,
        n_colors=len(PALETTE),
        style=Markup(style),
        script=Markup(script),
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


def highlighted(code: str) -> Markup:
    """Return Python code with its syntax in classes; code with syntax errors too."""
    text = visible(code.rstrip())
    return Markup(highlight(text, _LEXER, _FORMATTER).removesuffix("\n"))


def breakable(text: str) -> Markup:
    """Return text that a line may break after `=` and `_`, as names of rows contain them."""
    return Markup(re.sub("([=_])", r"\1<wbr>", str(escape(visible(text)))))


def environment(escape: Callable[[str], str], **filters: Callable[[str], str]) -> Environment:
    """Return an environment of the templates folder, with these filters.

    Every text that a template writes is changed by `escape`, before HTML is escaped; Markup is
    written as it is.
    """
    found = Environment(
        loader=FunctionLoader(template_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: escape(value) if type(value) is str else value,
    )
    found.filters.update(filters)
    return found


def template_text(name: str) -> str:
    """Read a file of the templates folder."""
    folder = files("en2py.evaluation.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return the digest by which the policy of the page allows its own script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_ENVIRONMENT = environment(visible, breakable=breakable, highlighted=highlighted)
