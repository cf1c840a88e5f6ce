"""Tables of a report as plain data: the same table becomes HTML (`page`) and Markdown.

Numbers are texts here; `words` wrote them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from en2py.evaluation.metrics.registry import MISSING, count_of, figure_of, listed, metric, whole
from en2py.evaluation.results import Difference, Estimate, ResultRow


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: What is read first.
        small: Behind it, small, a line each: an interval, `k of n`.
        tone: `better`, `worse` or `changed` where a difference is one, `muted`, or nothing.
        mark: A sign behind the text; `tone` says in colour what it says without.
        about: A longer word on it, shown on pointing.
    """

    text: str
    small: tuple[str, ...] = ()
    tone: str = ""
    mark: str = ""
    about: str = ""


@dataclass(frozen=True)
class Column:
    """A column's head; numbers stand right, texts left."""

    label: str
    about: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """A row of a table; `kind` is that of the result row, and sets baselines off from models."""

    cells: list[Cell]
    kind: str = "model"
    colour: int | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first column of a line is its head.

    Attributes:
        caption: What it shows, in a few words; also what a screen reader announces.
        columns: Heads.
        lines: Rows.
        notes: Below it, a sentence each.
    """

    caption: str
    columns: list[Column]
    lines: list[Line]
    notes: list[str] = field(default_factory=list)


MISSING_CELL = Cell(MISSING, tone="muted", about="not known for this row")


def figure_cell(name: str, figure: Estimate | None, *, count: bool = False) -> Cell:
    """Write a figure with its interval behind it.

    Args:
        name: The metric; `val/<metric>` reads the same.
        figure: None gives a dash.
        count: Also `k of n`, for shares.
    """
    if figure is None:
        return MISSING_CELL
    how = metric(name)
    small = how.interval(figure.low, figure.high), count_of(figure) if count else ""
    about = f"{how.label}: {_rests_on(figure)}"
    if figure.by_seed:
        seeds = (f"seed {seed}: {how.write(v)}" for seed, v in sorted_seeds(figure.by_seed))
        about += f" ({', '.join(seeds)})"
    return Cell(how.write(figure.value), tuple(filter(None, small)), about=about)


def difference_cell(name: str, difference: Difference | None) -> Cell:
    """Write a difference with its interval; one that is none is muted."""
    if difference is None:
        return MISSING_CELL
    how = metric(name)
    interval = how.change_interval(difference.low, difference.high)
    small = (interval,) if interval else ()
    over = {"seeds": "paired by seed", "clusters": "paired by cluster"}
    about = f"{how.label}: {over.get(difference.over, difference.over)}"
    if not difference.is_significant:
        return Cell(how.change(difference.value), small, "muted", about=about)
    side = how.better * (1 if difference.value > 0 else -1)
    tone = {1: "better", -1: "worse", 0: "changed"}[side]
    mark = "▲" if difference.value > 0 else "▼"
    return Cell(how.change(difference.value), small, tone, mark, about)


def name_cell(row: ResultRow, *, notes: Sequence[str] = (), roles: Sequence[str] = ()) -> Cell:
    """Write the name of a row; behind it the number of its runs and what it is in the table."""
    small = []
    if row.kind == "model":
        small.append("1 run" if len(row.runs) == 1 else f"{len(row.runs)} runs")
    small += roles
    mark = "".join(f"[{notes.index(note) + 1}]" for note in row.notes if note in notes)
    return Cell(row.name, (", ".join(small),) if small else (), mark=mark)


def figures_table(
    rows: Sequence[ResultRow],
    metrics: Sequence[str],
    *,
    caption: str,
    reference: str = "",
    best: str = "",
    axes: Sequence[str] = (),
    counts: Sequence[str] = ("passes_tests", "behaves"),
) -> Table:
    """Tabulate figures with their intervals, a line a row, a column a metric.

    Args:
        rows: Models, then baselines.
        metrics: Columns; `val/<metric>` asks for validation. A metric that no row has is left out.
        caption: What the table shows.
        reference: Name of the reference row, which is marked.
        best: Name of the row to be called best on validation.
        axes: Settings that get a column each, in place of the row's name.
        counts: Metrics with `k of n` in their cells.
    """
    shown = [name for name in metrics if any(figure_of(row, name) for row in rows)]
    notes = unique_notes(rows)
    columns = [Column(axis, numeric=False) for axis in axes] or [Column("row", numeric=False)]
    columns += [Column(metric(name).head, metric(name).about) for name in shown]
    lines = []
    for i, row in enumerate(rows):
        roles = {"reference row": reference, "best on validation": best}
        head = name_cell(
            row, notes=notes, roles=[r for r, name in roles.items() if row.name == name]
        )
        chosen = [_setting_cell(row, axis) for axis in axes] if row.settings else []
        if chosen:
            head, *chosen = [replace(chosen[0], small=head.small, mark=head.mark), *chosen[1:]]
        chosen += [Cell("")] * (len(axes) - 1 - len(chosen))  # a baseline has a name alone
        cells = [figure_cell(name, figure_of(row, name), count=name in counts) for name in shown]
        lines.append(Line([head, *chosen, *cells], row.kind, colour_of(rows, i)))
    numbered = [f"[{i}] {note}" for i, note in enumerate(notes, start=1)]
    return Table(caption, columns, lines, [*intervals_note(rows, shown), *numbered])


def differences_table(
    rows: Sequence[ResultRow], metrics: Sequence[str], *, caption: str, reference: str
) -> Table:
    """Tabulate how far each row is from the reference row, marked where it is a difference."""
    others = [row for row in rows if row.name != reference and row.differences]
    shown = [name for name in metrics if any(name in row.differences for row in others)]
    columns = [Column("row", numeric=False)]
    columns += [Column(metric(name).change_head, metric(name).about) for name in shown]
    lines = [
        Line(
            [
                Cell(row.name),
                *(difference_cell(name, row.differences.get(name)) for name in shown),
            ],
            row.kind,
            colour_of(rows, rows.index(row)),
        )
        for row in others
    ]
    notes = ["▲ ▼ mark a difference whose 95 % interval excludes 0; what is grey may be chance."]
    return Table(caption, columns, lines, notes)


def failures_table(rows: Sequence[ResultRow], *, caption: str, most: int = 15) -> Table:
    """Tabulate why programs are wrong: a line a reason, a column a row; the rarest together."""
    shown = [row for row in rows if row.failures]
    total: dict[str, int] = {}
    for row in shown:
        for reason, n in row.failures.items():
            total[reason] = total.get(reason, 0) + n
    order = sorted(total, key=lambda reason: (-total[reason], reason))
    kept, rest = (order, []) if len(order) <= most else (order[: most - 1], order[most - 1 :])
    columns = [Column("why", numeric=False), *(Column(row.name) for row in shown)]
    lines = [
        Line([Cell(reason), *(_count_cell(row.failures.get(reason, 0)) for row in shown)])
        for reason in kept
    ]
    if rest:
        sums = [sum(row.failures.get(reason, 0) for reason in rest) for row in shown]
        cells = [Cell(f"{len(rest)} rarer reasons", tone="muted"), *map(_count_cell, sums)]
        lines.append(Line(cells))
    return Table(caption, columns, lines, ["Programs of a row's first seed."])


def groups_table(rows: Sequence[ResultRow], metrics: Sequence[str], *, caption: str) -> Table:
    """Tabulate the figures of each bucket of pairs: a line a row and bucket."""
    held = [of for row in rows for of in row.groups.values()]
    shown = [name for name in metrics if any(name in of for of in held)]
    columns = [Column("row", numeric=False), Column("pairs", numeric=False), Column("n")]
    columns += [Column(metric(name).head, metric(name).about) for name in shown]
    lines = []
    for i, row in enumerate(rows):
        for j, (bucket, of) in enumerate(row.groups.items()):
            head = Cell(row.name, tone="muted" if j else "")
            size = Cell(whole(of["n"]) if "n" in of else MISSING, tone="muted")
            cells = [Cell(metric(name).write(of.get(name))) for name in shown]
            lines.append(Line([head, Cell(bucket), size, *cells], row.kind, colour_of(rows, i)))
    return Table(caption, columns, lines)


def oracles_tables(oracles: Mapping[str, Any], *, caption: str) -> list[Table]:
    """Tabulate how many references could be tested, the errors of that test, and why not more.

    Args:
        oracles: As `Results.oracles`.
        caption: What the first table shows.
    """
    shares = []
    if oracles.get("with tests"):
        n_pairs = oracles["with tests"] + oracles.get("n", 0)
        shares.append(("pairs with tests of their own", oracles["with tests"], n_pairs))
    for kind in ("functions", "scripts"):
        if own := oracles.get(kind):
            shares.append((f"{kind} that can be tested", own["testable"], own["of"]))
    if quality := oracles.get("quality"):
        names = "wrong programs caught (one-step mutants of references)", "strangers accepted"
        shares.append((names[0], quality["n_killed"], quality["n_mutants"]))
        shares.append((names[1], quality["n_accepted"], quality["n_strangers"]))
    columns = [Column("", numeric=False), Column("k"), Column("of"), Column("%")]
    lines = [
        Line([Cell(text), Cell(whole(k)), Cell(whole(of)), _percent(k, of)])
        for text, k, of in shares
    ]
    found = [Table(caption, columns, lines)] if lines else []
    if reasons := oracles.get("reasons"):
        heads = [Column("why a reference could not be tested", numeric=False), Column("pairs")]
        order = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        lines = [Line([Cell(reason), _count_cell(n)]) for reason, n in order]
        found.append(Table("Why references could not be tested", heads, lines))
    return found


def facts(record: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Write a record of any depth as labels and texts: what was held fixed, hashes, versions."""
    found: list[tuple[str, str]] = []
    for key, value in record.items():
        label = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += facts(value, f"{label}: ")
        elif isinstance(value, list | tuple):
            found.append((label, ", ".join(map(str, value)) or MISSING))
        elif value is None:
            found.append((label, MISSING))
        elif isinstance(value, bool):
            found.append((label, "yes" if value else "no"))
        elif isinstance(value, int):
            found.append((label, whole(value)))
        elif isinstance(value, float):
            found.append((label, f"{value:,.4g}"))
        else:
            found.append((label, str(value)))
    return found


def colour_of(rows: Sequence[ResultRow], place: int) -> int | None:
    """Return the number of a model row's colour, the same in every plot; baselines have none."""
    if rows[place].kind != "model":
        return None
    return sum(row.kind == "model" for row in rows[:place]) % 8 + 1


def legend(rows: Sequence[ResultRow]) -> list[tuple[int, str]]:
    """Return number of colour and name of the model rows."""
    found = [(colour_of(rows, i), row.name) for i, row in enumerate(rows)]
    return [(colour, name) for colour, name in found if colour is not None]


def unique_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Return the notes of rows, each once, in order; their places are their numbers."""
    return list(dict.fromkeys(note for row in rows for note in row.notes))


def intervals_note(rows: Sequence[ResultRow], metrics: Sequence[str]) -> list[str]:
    """Say what the intervals of some figures are over."""
    found = [figure_of(row, name) for row in rows for name in metrics]
    kinds = {figure.over for figure in found if figure is not None and figure.low is not None}
    said = {
        "seeds": "over seeds (Student's t)",
        "clusters": "over clusters of near-equal pairs (bootstrap)",
    }
    if not kinds:
        return []
    return [f"Small: 95 % interval {listed([said.get(k, k) for k in sorted(kinds)], 'or')}."]


def sorted_seeds(by_seed: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return seeds in the order of their numbers."""
    return sorted(by_seed.items(), key=lambda item: (len(item[0]), item[0]))


def _rests_on(figure: Estimate) -> str:
    if figure.over == "seeds":
        return "1 seed" if figure.n == 1 else f"mean of {figure.n} seeds"
    return f"{whole(figure.n)} {figure.over}"


def _setting_cell(row: ResultRow, axis: str) -> Cell:
    return Cell(row.settings[axis]) if axis in row.settings else MISSING_CELL


def _percent(k: float, of: float) -> Cell:
    return Cell(f"{100 * k / of:.1f}") if of else MISSING_CELL


def _count_cell(count: int) -> Cell:
    return Cell(whole(count)) if count else Cell("0", tone="muted")


MAIN = (
    "passes_tests",
    "behaves",
    "exact_match_renamed",
    "compiles",
    "bleu",
    "crystal_bleu",
    "copied",
    "val/nll",
    "bpc",
)


CURVES = ("val/nll", "train/nll", "val/exact_match_renamed", "val/compiles")
