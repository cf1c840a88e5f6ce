"""Summary at the top of a report, in sentences; only significant differences are claims."""

import math
from collections.abc import Sequence

from en2py.evaluation.aggregation import difference_by_seed
from en2py.evaluation.baselines import RIVALS
from en2py.evaluation.configurations import REFERENCE, unnamed_axes
from en2py.evaluation.metrics.registry import HEADLINES, Metric, count_of, figure_of, listed, metric
from en2py.evaluation.results import MODEL, Difference, Estimate, ResultRow, Results
from en2py.evaluation.statistics import detectable_difference

_VERBS = {
    "passes_tests": "passes",
    "behaves": "behaves like the reference in",
    "exact_match_renamed": "matches the reference up to names in",
}


def summarize(results: Results) -> list[str]:
    """Return the main findings: the best row, its lead, and whether it beats retrieval.

    Returns:
        Paragraphs; the first has the findings, the others what limits them.
    """
    models = results.models
    if not models:
        return [_baselines_alone(results.rows)]
    reference = next((row for row in models if row.name == results.reference_row), models[0])
    best = best_row(results) or models[0]
    name = headline_metric([best, reference]) or headline_metric([best])
    sentences = [
        _ranking(models, best, reference, ranked_by(results), bool(best_if_significant(results))),
        _quality(name, results.data.get("part", "test"), best, reference) if name else "",
        _against_retrieval(results.rows, best, reference),
    ]
    paragraphs = [" ".join(filter(None, sentences))]
    if results.data.get("unfinished"):
        paragraphs.append(f"Runs of this study without a result: {results.data['unfinished']}.")
    if others := unnamed_axes(results):
        paragraphs.append(
            f"Rows also differ in {listed(others)}: see “Settings of the rows” in the report."
        )
    paragraphs += _limits(models, is_search=bool(results.search))
    if not _have_other_pairs(models):
        paragraphs += _power(models, reference, ranked_by(results))
    return paragraphs


def notes_of(rows: Sequence[ResultRow]) -> list[str]:
    """Return the remarks on rows, each once, with the rows that it applies to.

    What a baseline is, is left out.
    """
    models = [row.name for row in rows if row.kind == MODEL]
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for note in row.notes:
            if not note.startswith(f"{row.name}: "):
                found.setdefault((row.kind, note), []).append(row.name)
    sentences = []
    for (kind, note), names in found.items():
        others = [name for name in models if name not in names]
        if kind == MODEL and 2 * len(others) < len(names):
            note = f"all rows but {listed(others)}: {note}" if others else note
        else:
            note = f"{listed(names)}: {note}"
        sentences.append(note)
    return sentences


def ranked_by(results: Results) -> str:
    """Return the validation metric by which model rows are ranked.

    It is the NLL, or bits per character where the NLL of some row cannot be compared with that of
    the reference row, because its tokens are others.
    """
    others = [row for row in results.models if row.name != results.reference_row]
    differ = any("nll" in row.validation and "val/nll" not in row.differences for row in others)
    return "val/bpc" if differ else "val/nll"


def best_row(results: Results) -> ResultRow | None:
    """Return the model row that is best on validation, None where no row has the metric."""
    name = ranked_by(results)
    figures = [(figure_of(row, name), row) for row in results.models]
    known = [(f.value, row) for f, row in figures if f is not None and math.isfinite(f.value)]
    return min(known, key=lambda item: item[0])[1] if known else None


def best_if_significant(results: Results) -> str:
    """Return the name of the row to be marked as best on validation, empty if there is none.

    Its difference from each other row must be significant, on the same pairs. Over the seeds that
    two rows share, it may have the other sign than that of the means, which are over all seeds.
    """
    best, name = best_row(results), ranked_by(results)
    others = [figure_of(row, name) for row in results.models if row is not best]
    figure = None if best is None else figure_of(best, name)
    if best is None or figure is None or not others or _have_other_pairs(results.models):
        return ""
    if any(other is None for other in others):
        return ""
    leads = [difference_by_seed(figure.by_seed, other.by_seed) for other in others if other]
    is_best = all(lead.is_significant and lead.value < 0 for lead in leads)
    return best.name if is_best else ""


def _have_other_pairs(models: Sequence[ResultRow]) -> bool:
    return any(row.has_other_pairs for row in models)


def headline_metric(rows: Sequence[ResultRow]) -> str | None:
    """Return the most informative metric that all rows have."""
    shared = (name for name in HEADLINES if all(name in row.figures for row in rows))
    return next(shared, None)


def _ranking(
    models: Sequence[ResultRow],
    best: ResultRow,
    reference: ResultRow,
    name: str,
    is_significant: bool,
) -> str:
    """Return which row is first on validation; it is the best only if that is significant."""
    figure, label = figure_of(best, name), metric(name).label
    if len(models) == 1:
        known = f": {label} {_figure(name, figure)} on validation" if figure else ""
        return f"One configuration was scored, {_quoted(best)}{known}."
    if figure is None:
        return f"{len(models)} configurations were scored; none has validation figures."
    named = "the reference row"
    if reference.name != REFERENCE:
        named += f", {_quoted(reference)},"
    row = named if best is reference else _quoted(best)
    text = f"Of {len(models)} configurations, {row} "
    text += f"is best on validation: {label} " if is_significant else f"has the lowest {label}: "
    text += _figure(name, figure)
    theirs = figure_of(reference, name)
    if theirs and best is not reference:
        text += f"; {named} has {_figure(name, theirs)}"
    if _have_other_pairs(models):
        return (
            f"{text}. Not all rows have the same validation and test pairs, so the lowest need not "
            "be the best; evaluate.py ckpt_path=STUDY compares on those that all have."
        )
    # None of the reference row.
    judged = _significance(metric(name), best.differences.get(name), figure, theirs)
    if not is_significant and (len(models) > 2 or not judged):
        others = "the other row" if len(models) == 2 else "every other row"
        judged += f" It is not significantly lower than that of {others}."
    return f"{text}. {judged.strip()}".rstrip()


def _quality(name: str, part: str, best: ResultRow, reference: ResultRow) -> str:
    """Return the figure of the best row on the test pairs, and its difference there."""
    how, figure = metric(name), best.figures[name]
    details = filter(None, (how.interval(figure.low, figure.high), count_of(figure)))
    text = f"On the {part} split it {_achieves(name, figure)}"
    text += f" ({inner})" if (inner := ", ".join(details)) else ""
    theirs = reference.figures.get(name)
    if best is reference or theirs is None or best.has_other_pairs:
        return f"{text}."
    judged = _significance(how, best.differences.get(name), figure, theirs)
    return f"{text}, the reference row {_with_unit(how, theirs.value)}. {judged}".rstrip()


def _significance(
    how: Metric, difference: Difference | None, ours: Estimate, theirs: Estimate | None
) -> str:
    """Return whether a difference from the reference row is significant, and why."""
    if difference is None or theirs is None:
        return ""
    change = how.change(difference.value)
    interval = how.change_interval(difference.low, difference.high)
    if not interval and min(len(ours.by_seed), len(theirs.by_seed)) > 1:
        return f"The difference, {change}, is the same for all seeds, so it has no interval."
    if not interval:
        return f"One seed does not show whether the difference, {change}, is significant."
    if difference.is_significant:
        return f"The difference, {change} ({interval}), is significant: its interval excludes 0."
    return f"The difference, {change} ({interval}), is not significant: its interval includes 0."


def _against_retrieval(rows: Sequence[ResultRow], best: ResultRow, reference: ResultRow) -> str:
    """Return whether the best row beats the best of the retrieval baselines."""
    baselines = _rivals(rows)
    name = headline_metric([best, *baselines])
    if not baselines or name is None:
        return ""
    rival = _best_on_validation(baselines, name)
    which = "baseline that is best on validation" if rival else "retrieval baseline"
    rival = rival or max(baselines, key=lambda row: row.figures[name].value)
    ours, theirs = best.figures[name], rival.figures[name]
    if best is reference and name in rival.differences:
        difference = rival.differences[name]
        is_significant = difference.is_significant
        why = f"the interval of the difference {'excludes' if is_significant else 'includes'} 0"
        why = why if difference.low is not None else "the difference has no interval"
    elif ours.low is None or ours.high is None or theirs.low is None or theirs.high is None:
        is_significant, why = False, "one of them has no interval"
    else:
        is_significant = ours.low > theirs.high or theirs.low > ours.high
        why = "their intervals " + ("do not overlap" if is_significant else "overlap")
    outcome = "It beats" if ours.value > theirs.value else "It does not beat"
    if not is_significant:
        outcome = "It is not shown to beat"
    return f"{outcome} the {which}: {rival.name} {_achieves(name, theirs)}, and {why}."


def _rivals(rows: Sequence[ResultRow]) -> list[ResultRow]:
    return [row for row in rows if row.kind == "baseline" and row.name.lower().startswith(RIVALS)]


def _best_on_validation(rows: Sequence[ResultRow], name: str) -> ResultRow | None:
    """Return the row that is best on validation, None where not all have the metric there."""
    if not rows or not all(name in row.validation for row in rows):
        return None
    return max(rows, key=lambda row: row.validation[name].value)


def _baselines_alone(rows: Sequence[ResultRow]) -> str:
    name = headline_metric(rows)
    if not rows or name is None:
        return "No model was scored."
    how = metric(name)
    figures = (f"{row.name} {_with_unit(how, row.figures[name].value)}" for row in rows)
    text = f"No model was scored, only baselines. {how.label}: {listed(figures)}."
    chosen = [
        f"{row.name} by {metric(key).label} ({_with_unit(metric(key), row.validation[key].value)})"
        for key in dict.fromkeys((name, "bleu"))
        if (row := _best_on_validation(_rivals(rows), key)) is not None
    ]
    return f"{text} Best on validation: {listed(chosen)}." if chosen else text


def _limits(models: Sequence[ResultRow], *, is_search: bool) -> list[str]:
    found = []
    if len(models) > 1 and min(len(row.runs) for row in models) < 2:
        remedy = "train the best trial with -m seed=1,2,3" if is_search else "add seed=1,2,3"
        found.append(
            f"A row with one seed does not show how much training varies: {remedy} before you "
            "claim a difference."
        )
    seeds = {frozenset(next((f.by_seed for f in row.figures.values()), {})) for row in models}
    if len(seeds) > 1:
        found.append(
            "Not all rows have the same seeds. The mean of a row is over its own seeds; a "
            "difference is over those that both rows share or, if they share fewer than two, over "
            "all of both (Welch's t)."
        )
    return found


def _power(models: Sequence[ResultRow], reference: ResultRow, name: str) -> list[str]:
    """State which differences these seeds can detect, and which more seeds could."""
    of_reference = figure_of(reference, name)
    others = [figure_of(row, name) for row in models if row is not reference]
    if of_reference is None:
        return []
    differences = [
        [
            v - of_reference.by_seed[s]
            for s, v in figure.by_seed.items()
            if s in of_reference.by_seed
        ]
        for figure in others
        if figure is not None
    ]
    n = max(map(len, differences), default=0)
    sizes = {
        seeds: detectable_difference(differences, seeds) for seeds in {n, 3, 5, 10} if seeds >= n
    }
    how = metric(name)
    if n < 2 or math.isnan(sizes[n]) or (size := how.write(sizes[n])) == how.write(0.0):
        return []
    text = f"{n} seeds are too few to show differences in {how.label} below {size} reliably"
    fewest: dict[str, int] = {}  # seeds to show differences of a size, as written
    for seeds in sorted(sizes):
        fewest.setdefault(how.write(sizes[seeds]), seeds)
    more = [
        f"below {written} with {seeds}"
        for written, seeds in fewest.items()
        if seeds > n and written != how.write(0.0)
    ]
    return [f"{text} (power 80 %; {listed(more)})." if more else f"{text} (power 80 %)."]


def _figure(name: str, figure: Estimate) -> str:
    interval = metric(name).interval(figure.low, figure.high)
    return metric(name).write(figure.value) + (f" ({interval})" if interval else "")


def _achieves(name: str, figure: Estimate) -> str:
    """Return `passes 62.0 %`."""
    how = metric(name)
    return f"{_VERBS.get(name, f'has a {how.label} of')} {_with_unit(how, figure.value)}"


def _quoted(row: ResultRow) -> str:
    return f"“{row.name}”"


def _with_unit(how: Metric, value: float) -> str:
    return f"{how.write(value)}\u00a0%" if how.unit == "%" else how.write(value)
