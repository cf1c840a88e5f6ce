"""Render reports and samples as Markdown, as GitHub reads it."""

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from en2py.data.pairs import Pair, evenly_spaced
from en2py.evaluation.metrics.registry import SAMPLES, metric
from en2py.evaluation.plots.style import visible
from en2py.evaluation.report.html import environment
from en2py.evaluation.report.sections import Section

# What Markdown would read as a mark, a tag or an entity in running text.
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&$])")


def report_markdown(title: str, summary: Sequence[str], sections: Sequence[Section]) -> str:
    """Return a report as Markdown: all but pictures and attention."""
    return _render("report.md.j2", title=title, summary=summary, sections=sections)


def samples_page(
    pairs: Sequence[Pair],
    outputs: Sequence[str],
    verdicts: Sequence[str],
    values: Mapping[str, float],
    *,
    n_samples: int = 50,
) -> str:
    """Return a Markdown page of up to `n_samples` pairs and outputs, spread evenly over a split.

    The verdicts are on the outputs, the values of metrics over the split.
    """
    return _render(
        "samples.md.j2",
        samples=[(pairs[i], outputs[i], verdicts[i]) for i in evenly_spaced(len(pairs), n_samples)],
        n_pairs=len(pairs),
        counts=Counter(re.split(r" \(|: ", verdict)[0] for verdict in verdicts).most_common(),
        totals={
            metric(name).head: metric(name).write(values[name])
            for name in SAMPLES
            if name in values
        },
    )


def fenced(code: str) -> Markup:
    """Return a code block that the text in it cannot end: its fence is longer than any inside."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}python\n{visible(code.rstrip())}\n{fence}")


def escaped(text: str) -> Markup:
    """Return text for a line of Markdown in which no character is markup."""
    return Markup(_MARKS.sub(r"\\\1", visible(" ".join(text.split()))))


def html_line(text: str) -> Markup:
    """Return text for a line of HTML within Markdown, where Markdown's escapes do not apply."""
    return Markup(html.escape(visible(" ".join(text.split()))))


def _render(template: str, **values: Any) -> str:
    """Fill a template of the templates folder; every text is escaped as Markdown."""
    return _ENVIRONMENT.get_template(template).render(**values).strip() + "\n"


_ENVIRONMENT = environment(escaped, fenced=fenced, html_line=html_line)
