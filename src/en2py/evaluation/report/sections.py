"""What stands in a report, in which order, as a page and as Markdown."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from en2py.evaluation.metrics.code_tokens import TOKEN_CLASSES
from en2py.evaluation.metrics.registry import figure_of, known_metrics, metric
from en2py.evaluation.report import html, markdown, tables
from en2py.evaluation.report.dots import difference_plot, dot_plot
from en2py.evaluation.report.figures import learning_curves, marginal_effect
from en2py.evaluation.report.html import Section
from en2py.evaluation.report.markdown import escaped
from en2py.evaluation.report.samples import KEY, attention_html, samples_html, samples_markdown
from en2py.evaluation.report.summary import answer, headline_metric, ranked_by, surely_best
from en2py.evaluation.report.tables import CURVES, MAIN, Table
from en2py.evaluation.results import ResultRow, Results

_MOST_AXES = 4  # more settings than these do not get a column each: they stand in the row's name
SCRIPTS = ("samples.js", "attention.js")

_FILLED = "A filled dot is a difference, a hollow one may be chance. Bars are 95 % intervals."


def report_html(results: Results) -> str:
    """Return the page of a comparison."""
    sections = [
        Section("Results", _results(results), _ranked(results)),
        Section("Differences", _differences(results), _from_reference(results)),
        Section("Pictures", _pictures(results)),
        Section("Samples", _samples(results), _KEY_OF_SAMPLES),
        Section(
            "Attention",
            attention_html(results.attention, results.samples),
            "Each line of a map is a token that looks, the colour of a cell how much of its look "
            "goes there. Point, tap or use the arrow keys.",
        ),
        Section("Why programs are wrong", _table(_failures(results))),
        Section("Seen and new descriptions", _table(_groups(results)), _BUCKETS),
        Section("References that could be tested", _oracles(results)),
        Section("What was held fixed", _fixed(results), "The same in every model row."),
        Section("How it was made", _made(results)),
    ]
    return html.page(results.title, answer(results), sections, scripts=SCRIPTS)


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
    sections = [
        ("Results", "\n\n".join([escaped(_ranked(results)), main, *folded])),
        ("Differences", _markdown_table(differences, _from_reference(results))),
        ("Why programs are wrong", _markdown_table(_failures(results))),
        ("Seen and new descriptions", _markdown_table(_groups(results), _BUCKETS)),
        ("References that could be tested", _oracles_markdown(results)),
        ("Samples", _joined(f"{KEY}.", samples_markdown(results.samples, _names(results)))),
        ("What was held fixed", markdown.facts(tables.facts(results.fixed))),
        *((title, markdown.facts(pairs)) for title, pairs in _made_of(results).items()),
    ]
    return markdown.page(results.title, answer(results), sections)


_KEY_OF_SAMPLES = f"The same pairs for every row, a model's programs from its first seed. {KEY}."
_BUCKETS = "Seen: a training pair has the same description. Mean over the runs of a row."


# Labels of `Results.data`; a key that is not here is its own label.
_DATA = {
    "n_pairs": "pairs",
    "n_clusters": "clusters of near-equal pairs",
    "n_left_out": "pairs left out, as not every run has them in this part",
    "split_hash": "hash of the split",
    "test_hash": "hash of the pairs' texts",
}


def _ranked(results: Results) -> str:
    """Say on what the rows were scored and how they are ordered."""
    data = results.data
    part = f"the {data.get('part', 'test')} part" + (
        f" of {data['name']}" if data.get("name") else ""
    )
    text = f"Figures of {part}."
    if "n_pairs" in data:
        text = f"All rows are scored on the same {data['n_pairs']:,} pairs of {part}"
        near = f", in {data['n_clusters']:,} clusters of near-equal ones"
        text += f"{near if 'n_clusters' in data else ''}."
    if any(row.kind == "model" for row in results.rows):
        name = metric(ranked_by(results).removeprefix("val/")).label
        text += f" Models by their {name} on validation, lowest first"
        text += "; then baselines." if any(row.kind != "model" for row in results.rows) else "."
    return text


def _made_of(results: Results) -> dict[str, list[tuple[str, str]]]:
    """Return heading to facts: on what, how and with what the figures were made."""
    data = {_DATA.get(key, key.replace("_", " ")): value for key, value in results.data.items()}
    signatures = {metric(name).label: text for name, text in results.signatures.items()}
    records = {"Data": data, "How metrics were computed": signatures, "Packages": results.versions}
    return {title: tables.facts(record) for title, record in records.items()}


def _figures(results: Results, names: Sequence[str], caption: str) -> Table:
    return tables.figures_table(
        results.rows,
        names,
        caption=caption,
        reference=results.reference_row,
        best=surely_best(results),
        axes=results.axes if len(results.axes) <= _MOST_AXES else (),
    )


def _other_metrics(rows: Sequence[ResultRow]) -> tuple[list[str], list[str]]:
    """Return the metrics beside the main ones: of programs and tokens, and per token class."""
    others = known_metrics(rows, but=MAIN)
    classes = [name for name in others if name.partition("_")[2] in TOKEN_CLASSES]
    return [name for name in others if name not in classes], classes


def _results(results: Results) -> Markup:
    parts = [html.table(_figures(results, MAIN, "Results"))]
    for title, names in zip(
        ("All other metrics", "Token classes"), _other_metrics(results.rows), strict=True
    ):
        if names:
            parts.append(html.folded(title, html.table(_figures(results, names, title))))
    return html.joined(*parts)


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
    parts = [html.figures(pictures, caption=_FILLED)] if pictures else []
    return html.joined(*parts, html.table(content))


def pictures(results: Results) -> dict[str, dict[str, str]]:
    """Return a report's pictures as SVG texts, by kind (`dots`, `curves`, `effects`) and by name.

    A name is the metric's, `val/nll`; that of an effect has its axis before it, `loss val/nll`.
    """
    rows = results.rows
    curves = {run: results.curves.get(run, []) for row in rows for run in row.runs}
    shown = [name for name in MAIN if any(figure_of(row, name) for row in rows)]
    logged = {column for records in curves.values() for record in records for column in record}
    models = [row for row in rows if row.kind == "model"]
    ranking = filter(None, (ranked_by(results), headline_metric(models)))
    axes = results.axes if len(results.axes) > 1 else []
    return {
        "dots": {name: dot_plot(rows, name, reference=results.reference_row) for name in shown},
        "curves": {
            column: learning_curves(rows, curves, column) for column in CURVES if column in logged
        },
        "effects": {
            f"{axis} {name}": marginal_effect(models, axis, name)
            for name in ranking
            for axis in axes
            if len({row.settings.get(axis) for row in models if figure_of(row, name)}) > 1
        },
    }


_CAPTIONS = {
    "dots": "A dot a row, bars are 95 % intervals, small dots seeds. ↑ more is better, ↓ less is. "
    "The dotted line is the reference row.",
    "curves": "Mean over the seeds of a row; the band goes from the lowest to the highest seed.",
    "effects": "A thin line joins rows that differ in this setting alone; dots are means over the "
    "other settings, where all values were run with them.",
}


def _pictures(results: Results) -> Markup:
    legend = tables.legend(results.rows)
    parts = [
        html.figures(
            list(drawn.values()),
            caption=_CAPTIONS[kind],
            legend=legend if kind == "curves" else (),
        )
        for kind, drawn in pictures(results).items()
        if drawn
    ]
    return html.joined(*parts)


def _samples(results: Results) -> Markup:
    return samples_html(results.samples, _names(results), results.attention)


def _names(results: Results) -> list[str]:
    return [row.name for row in results.rows]


def _failures(results: Results) -> Table:
    return tables.failures_table(results.rows, caption="Why programs are wrong")


def _groups(results: Results) -> Table:
    return tables.groups_table(results.rows, MAIN, caption="Figures by bucket of pairs")


def _table(content: Table) -> Markup:
    return html.table(content) if content.lines else Markup("")


def _markdown_table(content: Table, lead: str = "") -> str:
    return _joined(escaped(lead), markdown.table(content)) if content.lines else ""


def _joined(*parts: str) -> str:
    """Put Markdown parts one below the other, if the last one says anything."""
    return "\n\n".join(filter(None, parts)) if parts[-1] else ""


def _fixed(results: Results) -> Markup:
    choices = {key: value for key, value in results.fixed.items() if "." not in key}
    values = {key: value for key, value in results.fixed.items() if "." in key}
    parts = [html.facts(tables.facts(choices))] if choices else []
    if values:
        parts.append(html.folded("Every value", html.facts(tables.facts(values))))
    return html.joined(*parts)


def _made(results: Results) -> Markup:
    parts = [
        html.render("part.html", title=title, body=html.facts(pairs))
        for title, pairs in _made_of(results).items()
        if pairs
    ]
    return html.joined(*parts)


def _oracles(results: Results) -> Markup:
    known = tables.oracles_tables(results.oracles, caption="References that could be tested")
    rest = _rest(results.oracles)
    return html.joined(*map(html.table, known), *([html.facts(rest)] if rest else []))


def _oracles_markdown(results: Results) -> str:
    known = tables.oracles_tables(results.oracles, caption="References that could be tested")
    return "\n\n".join(
        [*map(markdown.table, known), markdown.facts(_rest(results.oracles))]
    ).strip()


def _rest(oracles: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what no table of oracles holds, such as why no program was run."""
    known = ("with tests", "n", "functions", "scripts", "quality", "reasons")
    return tables.facts({key: value for key, value in oracles.items() if key not in known})
