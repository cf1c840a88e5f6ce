"""What stands in a report, in which order, as a page and as Markdown."""

from collections.abc import Sequence

from markupsafe import Markup

from en2py.evaluation.code_tokens import TOKEN_CLASSES
from en2py.evaluation.report import markdown, page, tables
from en2py.evaluation.report.answer import answer, headline_metric
from en2py.evaluation.report.dots import difference_plot, dot_plot
from en2py.evaluation.report.figures import learning_curves, marginal_effect
from en2py.evaluation.report.page import Section
from en2py.evaluation.report.samples import KEY, attention_html, samples_html, samples_markdown
from en2py.evaluation.report.tables import Table
from en2py.evaluation.report.words import figure_of, known_metrics, metric
from en2py.evaluation.results import ResultRow, Results

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
SCRIPTS = ("samples.js", "attention.js")

_RANKED = "Models by their validation NLL, lowest first; then baselines, scored on the same pairs."
_FILLED = "A filled dot is a difference, a hollow one may be chance. Bars are 95 % intervals."


def report_html(results: Results) -> str:
    """Return the page of a comparison."""
    sections = [
        Section("Results", _results(results), _RANKED),
        Section("Differences", _differences(results), _from_reference(results)),
        Section("Pictures", _pictures(results)),
        Section("Samples", _samples(results), _KEY_OF_SAMPLES),
        Section(
            "Attention",
            attention_html(results.attention, results.samples),
            "Each line of a map is a token that looks; the darker a cell, the more of its look "
            "goes there. Point, tap or use the arrow keys.",
        ),
        Section("Why programs are wrong", _table(_failures(results))),
        Section("Seen and new descriptions", _table(_groups(results)), _BUCKETS),
        Section("References that could be tested", _facts(results.oracles)),
        Section("What was held fixed", _fixed(results), "The same in every model row."),
        Section("How it was made", _made(results)),
    ]
    return page.page(results.title, answer(results), sections, scripts=SCRIPTS)


def report_markdown(results: Results) -> str:
    """Return the report as Markdown: all but pictures and attention."""
    others, classes = _other_metrics(results.rows)
    folded = [
        markdown.folded(title, markdown.table(_figures(results, names, title)))
        for title, names in (("All other metrics", others), ("Token classes", classes))
        if names
    ]
    main = markdown.table(_figures(results, MAIN, "Results"))
    differences = _differences_table(results)
    made = {"data": results.data, "signatures": results.signatures, "versions": results.versions}
    sections = [
        ("Results", "\n\n".join([_RANKED, main, *folded])),
        ("Differences", _markdown_table(differences, _from_reference(results))),
        ("Why programs are wrong", _markdown_table(_failures(results))),
        ("Seen and new descriptions", _markdown_table(_groups(results), _BUCKETS)),
        ("References that could be tested", markdown.facts(tables.facts(results.oracles))),
        ("Samples", _joined(f"{KEY}.", samples_markdown(results.samples))),
        ("What was held fixed", markdown.facts(tables.facts(results.fixed))),
        *(
            (name.capitalize(), markdown.facts(tables.facts(record)))
            for name, record in made.items()
        ),
    ]
    return markdown.page(results.title, answer(results), sections)


_KEY_OF_SAMPLES = f"The same pairs for every row, a model's programs from its first seed. {KEY}."
_BUCKETS = "Seen: a training pair has the same description. Mean over the runs of a row."


def _figures(results: Results, names: Sequence[str], caption: str) -> Table:
    return tables.figures_table(
        results.rows, names, caption=caption, reference=results.reference_row
    )


def _other_metrics(rows: Sequence[ResultRow]) -> tuple[list[str], list[str]]:
    """Return the metrics beside the main ones: of programs and tokens, and per token class."""
    others = known_metrics(rows, but=MAIN)
    classes = [name for name in others if name.partition("_")[2] in TOKEN_CLASSES]
    return [name for name in others if name not in classes], classes


def _results(results: Results) -> Markup:
    parts = [page.table(_figures(results, MAIN, "Results"))]
    for title, names in zip(
        ("All other metrics", "Token classes"), _other_metrics(results.rows), strict=True
    ):
        if names:
            parts.append(page.folded(title, page.table(_figures(results, names, title))))
    return page.joined(*parts)


def _from_reference(results: Results) -> str:
    return f"From the reference row, {results.reference_row}, on the same seeds or pairs."


def _differences_table(results: Results) -> Table:
    return tables.differences_table(
        results.rows, MAIN, caption="Differences", reference=results.reference_row
    )


def _differences(results: Results) -> Markup:
    content = _differences_table(results)
    if not content.lines:
        return Markup("")
    models = [row for row in results.rows if row.kind == "model"]
    shown = [name for name in MAIN if any(name in row.differences for row in models)]
    pictures = [difference_plot(models, name) for name in shown]
    parts = [page.figures(pictures, caption=_FILLED)] if pictures else []
    return page.joined(*parts, page.table(content))


def _pictures(results: Results) -> Markup:
    rows, curves = results.rows, results.curves
    shown = [name for name in MAIN if any(figure_of(row, name) for row in rows)]
    dots = [dot_plot(rows, name, reference=results.reference_row) for name in shown]
    parts = [
        page.figures(
            dots,
            caption="A dot a row, bars are 95 % intervals, small dots seeds. ↑ more is better, "
            "↓ less is. The dotted line is the reference row.",
        )
    ]
    legend = tables.legend(rows)
    logged = [
        learning_curves(rows, curves, column)
        for column in CURVES
        if any(column in record for records in curves.values() for record in records)
    ]
    if logged:
        told = "Mean over the seeds of a row; the band goes from the lowest to the highest seed."
        parts.append(page.figures(logged, legend=legend, caption=told))
    models = [row for row in rows if row.kind == "model"]
    names = filter(None, ("val/nll", headline_metric(models)))
    effects = [
        marginal_effect(models, axis, name)
        for name in names
        for axis in results.axes
        if len({row.settings.get(axis) for row in models if figure_of(row, name)}) > 1
    ]
    if effects and len(results.axes) > 1:
        told = (
            "A thin line joins rows that differ in this setting alone; dots are means over the "
            "other settings, where all values were run with them."
        )
        parts.append(page.figures(effects, caption=told))
    return page.joined(*parts) if shown else Markup("")


def _samples(results: Results) -> Markup:
    names = [row.name for row in results.rows]
    return samples_html(results.samples, names, results.attention)


def _failures(results: Results) -> Table:
    return tables.failures_table(results.rows, caption="Why programs are wrong")


def _groups(results: Results) -> Table:
    return tables.groups_table(results.rows, MAIN, caption="Figures by bucket of pairs")


def _table(content: Table) -> Markup:
    return page.table(content) if content.lines else Markup("")


def _markdown_table(content: Table, lead: str = "") -> str:
    return _joined(lead, markdown.table(content)) if content.lines else ""


def _joined(*parts: str) -> str:
    """Put Markdown parts one below the other, if the last one says anything."""
    return "\n\n".join(filter(None, parts)) if parts[-1] else ""


def _facts(record: object) -> Markup:
    assert isinstance(record, dict)
    return page.facts(tables.facts(record)) if record else Markup("")


def _fixed(results: Results) -> Markup:
    choices = {key: value for key, value in results.fixed.items() if "." not in key}
    values = {key: value for key, value in results.fixed.items() if "." in key}
    parts = [_facts(choices)]
    if values:
        parts.append(page.folded(f"All {len(values)} values", _facts(values)))
    return page.joined(*filter(None, parts))


def _made(results: Results) -> Markup:
    parts = {
        "Data": results.data,
        "Metrics": {metric(name).label: text for name, text in results.signatures.items()},
        "Packages": results.versions,
    }
    return page.joined(
        *(page.render("part.html", title=t, body=_facts(record)) for t, record in parts.items())
    )
