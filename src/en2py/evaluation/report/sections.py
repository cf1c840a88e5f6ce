"""Sections of a report: one list, which the HTML and the Markdown template render."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from en2py.evaluation.configurations import unnamed_axes
from en2py.evaluation.metrics.code_tokens import TOKEN_CLASSES
from en2py.evaluation.metrics.registry import CURVES, TABLE, figure_of, known_metrics, metric
from en2py.evaluation.report.samples import KEY, attention_maps, sample_views
from en2py.evaluation.report.summary import best_if_significant, headline_metric, ranked_by
from en2py.evaluation.report.tables import (
    Table,
    differences_table,
    facts,
    failures_table,
    figures_table,
    groups_table,
    oracles_tables,
    settings_table,
)
from en2py.evaluation.results import Results

if TYPE_CHECKING:  # it imports matplotlib
    from en2py.evaluation.plots.figures import Picture

Pictures = Mapping[str, Mapping[str, "Picture"]]


@dataclass(frozen=True)
class Block:
    """A part of a section.

    Attributes:
        kind: `table`, `facts`, `pictures`, `samples` or `attention`: the macro of the templates.
        content: What the macro renders; plain text, which the templates escape.
        title: Of a part that is folded, or the heading of facts.
        is_folded: Whether it opens on a click.
    """

    kind: str
    content: Any
    title: str = ""
    is_folded: bool = False


@dataclass(frozen=True)
class Section:
    """A section of a report: title, blocks, and a sentence below the title."""

    title: str
    blocks: list[Block]
    lead: str = ""

    @property
    def anchor(self) -> str:
        """Return its id in the page."""
        return "-".join(self.title.lower().split())


def sections(results: Results, pictures: Pictures) -> list[Section]:
    """Return the sections of a report in order, without empty ones."""
    rows, reference = results.rows, results.reference_row
    differences = differences_table(rows, _ranked_first(results, TABLE), reference=reference)
    failures = failures_table(rows)
    groups = groups_table(rows, TABLE)
    oracles = oracles_tables(results.oracles, results.data.get("n_pairs", 0))
    names = [row.name for row in rows]
    samples = Block("samples", sample_views(results.samples, names, results.attention))
    attention = Block("attention", attention_maps(results.attention, results.samples))
    found = [
        Section("Results", _results(results), _scored_on(results)),
        Section(
            "Other runs of this study",
            _tables(figures_table(results.others, TABLE, caption="Other runs")),
            "They belong to other sweeps or have other held-out pairs, and are not compared.",
        ),
        Section(
            "Differences",
            [*_pictures(pictures, "differences"), *_tables(differences)],
            f"From the reference row, {reference}; of single runs and of baselines by pair.",
        ),
        Section("Search", _search(results)),
        Section("Pictures", _pictures(pictures, "dots", "curves", "effects")),
        Section(
            "Samples",
            [samples] if results.samples else [],
            f"The same pairs for every row; a model's programs are from its first seed. {KEY}.",
        ),
        Section(
            "Attention",
            [attention] if results.attention else [],
            "Each line of a map is a token that attends; the color of a cell is the weight of the "
            "token it attends to. Point, tap or use the arrow keys.",
        ),
        Section("Why programs are wrong", _tables(failures)),
        Section(
            "Seen and new descriptions",
            _tables(groups),
            "Seen: a training pair of the row has the same description. Mean over its runs.",
        ),
        Section("References that can be tested", [*_tables(*oracles), *_other_oracles(results)]),
        Section(
            "Settings of the rows",
            _tables(settings_table(results.models, results.axes)) if unnamed_axes(results) else [],
            "The names of the rows have only those that distinguish them.",
        ),
        Section("Fixed settings", _fixed(results), "The same in every model row."),
        Section("How it was made", _provenance(results)),
    ]
    return [section for section in found if section.blocks]


def draw_pictures(results: Results) -> Pictures:
    """Return the pictures of a report, by kind and by name.

    Kinds are `dots`, `differences`, `curves` and `effects`. A name is the metric's, `val/nll`; that
    of an effect starts with its setting, `loss val/nll`.
    """
    from en2py.evaluation.plots import comparison as plots  # imports matplotlib

    rows, models, reference = results.rows, results.models, results.reference_row
    names = _ranked_first(results, TABLE)
    compared = [n for n in names if sum(figure_of(row, n) is not None for row in rows) > 1]
    ranking = [name for name in (ranked_by(results), headline_metric(models)) if name]
    settings = results.axes if len(results.axes) > 1 else []
    drawn = {
        "dots": {name: plots.dot_plot(rows, name, reference=reference) for name in compared},
        "differences": {name: plots.difference_plot(models, name) for name in names},
        "curves": {name: plots.learning_curves(rows, results.curves, name) for name in CURVES},
        "effects": {
            f"{setting} {name}": plots.marginal_effect(models, setting, name)
            for name in ranking
            for setting in settings
        },
    }
    return {
        kind: {name: picture for name, picture in of.items() if picture is not None}
        for kind, of in drawn.items()
    }


_CAPTIONS = {
    "dots": "A dot per row; bars are 95 % intervals, small dots single seeds, the dotted line is "
    "the reference row. ↑ more is better, ↓ less is better.",
    "differences": "Bars are 95 % intervals. A filled dot is a significant difference (the "
    "interval excludes 0), a hollow one is not.",
    "curves": "Mean over the seeds of a row; the band is from the lowest to the highest seed.",
    "effects": "A thin line joins rows that differ in this setting alone; large dots are means "
    "over the other settings that were run with every value.",
}
# Labels of `Results.data`; a key that is not here is its own label.
_DATA_LABELS = {
    "n_pairs": "pairs",
    "n_clusters": "clusters of near-duplicate pairs",
    "n_overlapping": "pairs left out as near-duplicates of training pairs of a run",
    "n_left_out": "pairs left out because some run does not have them in this split",
    "leakage": "pairs of the split with a near-duplicate in train",
    "split_hash": "hash of the split",
    "test_hash": "hash of the pairs",
}


def _pictures(pictures: Pictures, *kinds: str) -> list[Block]:
    return [
        Block(
            "pictures",
            {"svgs": [p.page_svg for p in pictures[kind].values()], "caption": _CAPTIONS[kind]},
        )
        for kind in kinds
        if pictures.get(kind)
    ]


def _tables(*tables: Table) -> list[Block]:
    return [Block("table", table) for table in tables if table.lines]


def _results(results: Results) -> list[Block]:
    """Return the table of the main columns, and folded ones of all other metrics."""
    main = _ranked_first(results, TABLE)
    others = known_metrics(results.rows, but=main)
    classes = [name for name in others if name.partition("_")[2] in TOKEN_CLASSES]
    others = [name for name in others if name not in classes]

    def table(names: Iterable[str], caption: str) -> Table:
        return figures_table(
            results.rows,
            _ranked_first(results, names),
            caption=caption,
            reference=results.reference_row,
            best=best_if_significant(results),
        )

    folded = [("All other metrics", others), ("Token classes", classes)]
    return [
        Block("table", table(main, "Results")),
        *(Block("table", table(names, title), title, True) for title, names in folded if names),
    ]


def _ranked_first(results: Results, names: Iterable[str]) -> list[str]:
    """Return metrics with the one that ranks the rows as the first."""
    ranking = ranked_by(results)
    return [ranking, *(name for name in names if name != ranking)]


def _scored_on(results: Results) -> str:
    """Return on which pairs the rows were scored and how they are ranked."""
    data = results.data
    part = f"the {data.get('part', 'test')} split"
    part += f" of {data['name']}" if data.get("name") else ""
    text = f"Figures of {part}."
    if "n_pairs" in data:
        near = f", in {data['n_clusters']:,} clusters of near-duplicates"
        text = f"All rows are scored on the same {data['n_pairs']:,} pairs of {part}"
        text += f"{near if 'n_clusters' in data else ''}."
    name = ranked_by(results)
    if any(figure_of(row, name) for row in results.models):
        text += f" Models are ranked by their {metric(name).label} on validation, lowest first"
        text += "; then baselines." if len(results.models) < len(results.rows) else "."
    return text


def _other_oracles(results: Results) -> list[Block]:
    """Return facts that no table of oracles has, for example why no program was run."""
    known = ("with tests", "own tests", "n", "functions", "scripts", "reasons")
    rest = {key: value for key, value in results.oracles.items() if key not in known}
    return [Block("facts", facts(rest))] if rest else []


def _search(results: Results) -> list[Block]:
    """Return the best trial and the importance of the parameters, if the study is a search."""
    if not results.search:
        return []
    best = results.search["best"]
    blocks = [
        Block(
            "facts",
            facts({"trial": best["trial"], "val/nll": f"{best['value']:.3f}", **best["params"]}),
            f"Best of {results.search['finished']} finished and {results.search['pruned']} pruned "
            "trials",
        )
    ]
    shares = {key: f"{100 * share:.0f} %" for key, share in results.search["importance"].items()}
    if shares:
        blocks.append(
            Block("facts", facts(shares), "Importance for val/nll (fANOVA, finished trials)")
        )
    return blocks


def _fixed(results: Results) -> list[Block]:
    choices = {key: value for key, value in results.fixed.items() if "." not in key}
    values = {key: value for key, value in results.fixed.items() if "." in key}
    found = [Block("facts", facts(choices))] if choices else []
    return found + ([Block("facts", facts(values), "Every value", True)] if values else [])


def _provenance(results: Results) -> list[Block]:
    data = {_DATA_LABELS.get(k, k.replace("_", " ")): value for k, value in results.data.items()}
    metrics = {metric(name).label: text for name, text in results.signatures.items()}
    records = {"Data": data, "How metrics were computed": metrics, "Packages": results.versions}
    return [Block("facts", facts(record), title) for title, record in records.items() if record]
