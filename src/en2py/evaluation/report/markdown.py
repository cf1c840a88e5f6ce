"""The parts of a report as Markdown, as GitHub reads it."""

import html
from collections.abc import Iterable, Sequence

from en2py.evaluation.report.tables import Cell, Table
from en2py.evaluation.samples import escaped, visible


def table(content: Table) -> str:
    """Write a table with its notes below; no text of a cell can end it."""
    head = f"| {' | '.join(escaped(column.label) for column in content.columns)} |"
    rule = "|" + "|".join(" ---: " if c.numeric else " --- " for c in content.columns) + "|"
    lines = [f"| {' | '.join(map(_cell, line.cells))} |" for line in content.lines]
    notes = [f"\n{escaped(note)}" for note in content.notes]
    return "\n".join([head, rule, *lines, *notes])


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Write labels with their texts as a list."""
    return "\n".join(f"- {escaped(label)}: {escaped(text)}" for label, text in pairs)


def page(title: str, answer: Sequence[str], sections: Iterable[tuple[str, str]]) -> str:
    """Write a page: the answer first, then each section with its heading; empty ones are left out.

    Args:
        title: Of the page.
        answer: A paragraph each.
        sections: Heading and Markdown.
    """
    parts = [f"# {escaped(title)}", *map(escaped, answer)]
    parts += [f"## {escaped(head)}\n\n{body}" for head, body in sections if body]
    return "\n\n".join(parts) + "\n"


def folded(summary: str, body: str) -> str:
    """Write a part that opens on a click; its summary is HTML, so it is escaped as such."""
    line = html.escape(visible(" ".join(summary.split())))
    return f"<details><summary>{line}</summary>\n\n{body}\n\n</details>"


def _cell(cell: Cell) -> str:
    text = escaped(cell.text + (f" {cell.mark}" if cell.mark else ""))
    return "<br>".join([text, *(f"<sub>{escaped(small)}</sub>" for small in cell.small)])
