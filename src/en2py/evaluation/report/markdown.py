"""The parts of a report as Markdown, as GitHub reads it."""

import html
import re
from collections.abc import Iterable, Sequence

from en2py.data.pairs import Pair
from en2py.evaluation.metrics.program_metrics import Scores
from en2py.evaluation.report.tables import Cell, Table


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


_SHOWN = ("exact_match", "exact_match_ast", "exact_match_renamed", "compiles", "bleu")


# What Markdown would take for a mark, a tag or an entity in running text.
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&$])")


def samples_page(
    pairs: Sequence[Pair], outputs: Sequence[str], scores: Scores, *, n_samples: int = 50
) -> str:
    """Return a Markdown page of samples, spread evenly over a split.

    Args:
        pairs: The split.
        outputs: One program per pair, in the same order.
        scores: How they were judged.
        n_samples: Most pairs to show.

    Raises:
        ValueError: If the lengths differ.
    """
    if not len(pairs) == len(outputs) == len(scores.rows):
        raise ValueError(f"{len(pairs)} pairs, {len(outputs)} outputs, {len(scores.rows)} verdicts")
    chosen = spread(len(pairs), n_samples)
    counts = ", ".join(f"{n} {kind}" for kind, n in _kinds(scores).items())
    parts = [f"# Samples\n\n{len(chosen)} of {len(pairs)} pairs. All of them: {counts}.\n"]
    parts += [_totals(scores)]
    for i in chosen:
        pair, output, verdict = pairs[i], outputs[i], scores.rows[i].verdict
        parts.append(f"## {escaped(pair.id)}: {escaped(verdict)}\n\n{escaped(pair.description)}\n")
        if verdict == "exact":
            parts.append(f"Reference and output:\n\n{fenced(pair.code)}\n")
        else:
            parts.append(f"Reference:\n\n{fenced(pair.code)}\n\nOutput:\n\n{fenced(output)}\n")
    return "\n".join(parts)


def spread(n: int, n_samples: int) -> list[int]:
    """Return up to `n_samples` places out of `n`, evenly apart, the first one in."""
    n_samples = min(n, n_samples)
    return [i * n // n_samples for i in range(n_samples)]


def fenced(code: str) -> str:
    """Return a code block that the text in it cannot end.

    The fence is longer than any run of backticks inside; control characters, which would show as
    nothing or break the page, are written out.
    """
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{visible(code.rstrip())}\n{fence}"


def escaped(text: str) -> str:
    """Return text for a line of Markdown that means only itself."""
    return _MARKS.sub(r"\\\1", visible(" ".join(text.split())))


def visible(text: str) -> str:
    """Write out what is not text: control characters and halves of surrogate pairs."""
    keep = "\n\t"
    return "".join(
        char
        if char in keep or char.isprintable() or char.isspace() and char not in _BREAKS
        else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n")
    )


# Line ends other than "\n", and the separators that str.splitlines takes for one.
_BREAKS = "\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def _kinds(scores: Scores) -> dict[str, int]:
    """Count the verdicts, the errors taken together."""
    kinds: dict[str, int] = {}
    for row in scores.rows:
        kind = row.verdict.split(" (")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _totals(scores: Scores) -> str:
    shown = [name for name in _SHOWN if name in scores.values]
    head = f"| {' | '.join(shown)} |\n|{' ---: |' * len(shown)}"
    cells = [
        f"{scores.values[name]:.1f}" if name == "bleu" else f"{scores.values[name]:.1%}"
        for name in shown
    ]
    return f"{head}\n| {' | '.join(cells)} |\n"
