"""Tables of a report as plain data: numbers are texts, written by the registry of metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from en2py.console import Column, counted
from en2py.evaluation.metrics.registry import (
    MISSING,
    VALIDATION,
    count_of,
    figure_of,
    listed,
    metric,
    whole,
)
from en2py.evaluation.results import Difference, Estimate, ResultRow

_WITH_COUNTS = ("passes_tests", "behaves")
_MAX_REASONS = 15
_ROW = Column("row", numeric=False)


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: The value.
        small: Lines below it, in small print: an interval, `k of n`.
        tone: `better`, `worse` or `changed` for significant differences, `muted`, or empty.
        mark: A sign behind the text, so that the meaning does not depend on color.
        about: An explanation, shown on hovering.
    """

    text: str
    small: tuple[str, ...] = ()
    tone: str = ""
    mark: str = ""
    about: str = ""

    @property
    def lines(self) -> str:
        """Return the lines of the cell on the terminal."""
        return "\n".join([self.text + self.mark, *self.small])


@dataclass(frozen=True)
class Line:
    """A line of a table; `kind` is that of its result row, `place` that of a model row."""

    cells: list[Cell]
    kind: str = "model"
    place: int | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a line is its head, `notes` are sentences below the table.

    The first `n_fixed` columns stay visible when a page scrolls the others.
    """

    caption: str
    columns: list[Column]
    lines: list[Line]
    notes: list[str] = field(default_factory=list)
    n_fixed: int = 1


MISSING_CELL = Cell(MISSING, tone="muted", about="not known for this row")


def figure_cell(name: str, figure: Estimate | None, *, count: bool = False) -> Cell:
    """Return a cell with a figure and its interval, with `k of n` if `count`."""
    if figure is None:
        return MISSING_CELL
    how = metric(name)
    small = how.interval(figure.low, figure.high), count_of(figure) if count else ""
    about = f"{how.label}: {whole(figure.n)} {figure.over}"
    if figure.over == "seeds":
        about = f"{how.label}: " + ("1 seed" if figure.n == 1 else f"mean of {figure.n} seeds")
    if figure.by_seed:
        seeds = sorted(figure.by_seed.items(), key=lambda item: (len(item[0]), item[0]))
        about += f" ({', '.join(f'seed {seed}: {how.write(value)}' for seed, value in seeds)})"
    return Cell(how.write(figure.value), tuple(filter(None, small)), about=about)


def difference_cell(name: str, difference: Difference | None) -> Cell:
    """Return a cell with a difference and its interval; muted if it is not significant."""
    if difference is None:
        return MISSING_CELL
    how = metric(name)
    interval = how.change_interval(difference.low, difference.high)
    over = {
        "seeds": "paired by seed",
        "other seeds": "over seeds that the rows do not share",
        "clusters": "paired by cluster",
    }
    cell = Cell(
        how.change(difference.value),
        (interval,) if interval else (),
        "muted",
        about=f"{how.label}: {over.get(difference.over, difference.over)}",
    )
    if not difference.is_significant:
        return cell
    tone = "changed"
    if how.higher_is_better is not None:
        tone = "better" if (difference.value > 0) == how.higher_is_better else "worse"
    return replace(cell, tone=tone, mark="▲" if difference.value > 0 else "▼")


def figures_table(
    rows: Sequence[ResultRow],
    metrics: Sequence[str],
    *,
    caption: str,
    reference: str = "",
    best: str = "",
) -> Table:
    """Tabulate figures with their intervals, a line per row, a column per metric.

    `val/<metric>` is that of validation; a metric that no row has is left out. Two rows are marked
    by their names: the reference row, and the best on validation.
    """
    shown = [name for name in metrics if any(figure_of(row, name) for row in rows)]
    remarks = list(dict.fromkeys(note for row in rows for note in row.notes))
    lines = []
    for row in rows:
        roles = {"reference row": reference, "best on validation": best}
        small = [] if row.kind != "model" else [counted(len(row.runs), "run")]
        small += [role for role, name in roles.items() if row.name == name]
        marks = "".join(f"[{remarks.index(note) + 1}]" for note in row.notes)
        head = Cell(row.name, (", ".join(small),) if small else (), mark=marks)
        cells = [figure_cell(n, figure_of(row, n), count=n in _WITH_COUNTS) for n in shown]
        place = _place(rows, row) if reference else None  # other runs are in no picture
        lines.append(Line([head, *cells], row.kind, place))
    numbered = [f"[{i}] {note}" for i, note in enumerate(remarks, start=1)]
    columns = [_ROW, *_columns(shown)]
    notes = [*_intervals_note(rows, shown), *numbered]
    return Table(caption, columns, lines, notes, n_fixed=_n_fixed(shown))


def differences_table(
    rows: Sequence[ResultRow], metrics: Sequence[str], *, reference: str
) -> Table:
    """Tabulate the differences of each row from the reference row; significant ones are marked."""
    others = [row for row in rows if row.name != reference and row.differences]
    shown = [name for name in metrics if any(name in row.differences for row in others)]
    columns = [_ROW, *(Column(metric(n).change_head, metric(n).about) for n in shown)]
    lines = [
        Line(
            [Cell(row.name), *(difference_cell(n, row.differences.get(n)) for n in shown)],
            row.kind,
            _place(rows, row),
        )
        for row in others
    ]
    notes = [
        "▲ ▼ mark significant differences: the 95 % interval excludes 0; gray is not significant."
    ]
    return Table("Differences", columns, lines, notes, n_fixed=_n_fixed(shown))


def failures_table(rows: Sequence[ResultRow]) -> Table:
    """Tabulate why programs are wrong: a line per reason, a column per row; the rarest summed."""
    shown = [row for row in rows if row.failures]
    reasons = dict.fromkeys(reason for row in shown for reason in row.failures)
    counts = {reason: [row.failures.get(reason, 0) for row in shown] for reason in reasons}
    order = sorted(counts, key=lambda reason: (-sum(counts[reason]), reason))
    kept = order if len(order) <= _MAX_REASONS else order[: _MAX_REASONS - 1]
    rest = order[len(kept) :]
    lines = [Line([Cell(reason), *map(_count_cell, counts[reason])]) for reason in kept]
    if rest:
        sums = [sum(column) for column in zip(*(counts[reason] for reason in rest), strict=True)]
        head = Cell(f"{len(rest)} rarer reasons", tone="muted")
        lines.append(Line([head, *map(_count_cell, sums)]))
    columns = [Column("reason", numeric=False), *(Column(row.name) for row in shown)]
    return Table("Why programs are wrong", columns, lines, ["Programs of a row's first seed."])


def groups_table(rows: Sequence[ResultRow], metrics: Sequence[str]) -> Table:
    """Tabulate the figures of each bucket of pairs: a line per row and bucket."""
    groups = [of for row in rows for of in row.groups.values()]
    shown = [name for name in metrics if any(name in of for of in groups)]
    columns = [_ROW, Column("pairs", numeric=False), Column("n")]
    lines = []
    for row in rows:
        for j, (bucket, of) in enumerate(row.groups.items()):
            head = Cell(row.name, tone="muted" if j else "")
            size = Cell(whole(of["n"]) if "n" in of else MISSING, tone="muted")
            cells = [Cell(metric(name).write(of.get(name))) for name in shown]
            line = [head, Cell(bucket), size, *cells]
            lines.append(Line(line, row.kind, _place(rows, row)))
    return Table("Figures by bucket of pairs", [*columns, *_columns(shown)], lines)


def oracles_tables(oracles: Mapping[str, Any], n_pairs: int) -> list[Table]:
    """Tabulate `Results.oracles`: how many references can be tested, and why not more."""
    shares, notes = [], []
    if oracles.get("with tests"):
        shares.append(("pairs with unit tests", oracles["with tests"], n_pairs))
    if counts := oracles.get("own tests"):
        shares.append(("references that pass their own tests", counts["passing"], counts["of"]))
        if counts["first"]:
            notes.append(f"The first that does not: {counts['first']}")
    for kind in ("functions", "scripts"):
        if counts := oracles.get(kind):
            shares.append((f"{kind} that can be tested", counts["testable"], counts["of"]))
    lines = [
        Line([Cell(text), Cell(whole(k)), Cell(whole(of)), _percent_cell(k, of)])
        for text, k, of in shares
    ]
    columns = [Column("", numeric=False), Column("k"), Column("of"), Column("%")]
    found = [Table("References that can be tested", columns, lines, notes)] if lines else []
    if reasons := oracles.get("reasons"):
        columns = [Column("why a reference cannot be tested", numeric=False), Column("pairs")]
        order = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        lines = [Line([Cell(reason), _count_cell(n)]) for reason, n in order]
        found.append(Table("Why references cannot be tested", columns, lines))
    return found


def settings_table(rows: Sequence[ResultRow], keys: Sequence[str]) -> Table:
    """Tabulate the settings that vary: a line per row, a column per setting."""
    lines = [
        Line([Cell(row.name), *(Cell(row.settings.get(key, "")) for key in keys)], row.kind)
        for row in rows
    ]
    columns = [_ROW, *(Column(key, numeric=False) for key in keys)]
    return Table("Settings of the rows", columns, lines)


def facts(record: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return a record as labels and texts: fixed settings, hashes, versions."""
    return [(key, _text(value)) for key, value in record.items()]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return whole(value) if isinstance(value, int) else str(value)


def _place(rows: Sequence[ResultRow], row: ResultRow) -> int | None:
    return rows.index(row) if row.kind == "model" else None


def _n_fixed(names: Sequence[str]) -> int:
    """Return 2 if the first figure is that of validation, by which rows are ranked."""
    return 2 if names and names[0].startswith(VALIDATION) else 1


def _columns(names: Iterable[str]) -> list[Column]:
    return [Column(metric(name).head, metric(name).about) for name in names]


def _intervals_note(rows: Sequence[ResultRow], metrics: Sequence[str]) -> list[str]:
    """Return a note on what the intervals of some figures are over."""
    found = [figure_of(row, name) for row in rows for name in metrics]
    kinds = {figure.over for figure in found if figure is not None and figure.low is not None}
    words = {
        "seeds": "over seeds (Student's t)",
        "clusters": "over clusters of near-duplicate pairs (bootstrap)",
    }
    texts = [words.get(kind, kind) for kind in sorted(kinds)]
    return [f"Small print: 95 % interval {listed(texts, 'or')}."] if texts else []


def _percent_cell(k: float, of: float) -> Cell:
    return Cell(f"{100 * k / of:.1f}") if of else MISSING_CELL


def _count_cell(count: int) -> Cell:
    return Cell(whole(count)) if count else Cell("0", tone="muted")
