"""The answer at the top of a report, in sentences made from the figures, no surer than they are."""

from collections.abc import Sequence

from en2py.evaluation.report.words import Metric, count_of, figure_of, listed, metric
from en2py.evaluation.results import Difference, Figure, ResultRow, Results

RANKED_BY = "val/nll"
LOOKED_UP = ("retrieval", "bm25")
HEADLINES = ("passes_tests", "behaves", "exact_match_renamed", "bleu")
_VERBS = {
    "passes_tests": "passes",
    "behaves": "behaves like the reference in",
    "exact_match_renamed": "is exact up to names in",
}


def answer(results: Results) -> list[str]:
    """Say what came out: which row is best, by how much, and whether it beats looking it up.

    Returns:
        Paragraphs; the first is the answer, the others what has to be known to read it.
    """
    models = [row for row in results.rows if row.kind == "model"]
    if not models:
        return [_of_baselines(results.rows)]
    best = best_row(models) or models[0]
    reference = next((row for row in models if row.name == results.reference_row), models[0])
    name = headline_metric([best, reference]) or headline_metric([best])
    sentences = [_ranking(models, best, reference)]
    if name:
        sentences += [_quality(name, models, best, reference)]
    sentences += [_against_lookup(results.rows, best, reference)]
    return [" ".join(filter(None, sentences)), *_caution(models)]


def best_row(rows: Sequence[ResultRow]) -> ResultRow | None:
    """Return the model row with the lowest validation NLL, None where no row knows it."""
    known = [(f.value, row) for row in rows if (f := figure_of(row, RANKED_BY)) is not None]
    return min(known, key=lambda item: item[0])[1] if known else None


def headline_metric(rows: Sequence[ResultRow]) -> str | None:
    """Return the metric that says most and that all rows have."""
    shared = (name for name in HEADLINES if all(name in row.figures for row in rows))
    return next(shared, None)


def _ranking(models: Sequence[ResultRow], best: ResultRow, reference: ResultRow) -> str:
    own = figure_of(best, RANKED_BY)
    if len(models) == 1:
        known = f", with a validation NLL of {_figure(RANKED_BY, own)}" if own else ""
        return f"One configuration was scored: {best.name}{known}."
    if own is None:
        return f"No row knows its validation NLL, so {len(models)} configurations are not ranked."
    start = f"Of {len(models)} configurations"
    if best is reference:
        return (
            f"{start} the reference row, {best.name}, is best on validation "
            f"(NLL {_figure(RANKED_BY, own)})."
        )
    theirs = figure_of(reference, RANKED_BY)
    told = f", against {_figure(RANKED_BY, theirs)} of the reference row {reference.name}"
    return (
        f"{start} {best.name} is best on validation (NLL {_figure(RANKED_BY, own)}"
        f"{told if theirs else ''}). {_judged(metric(RANKED_BY), best.differences.get(RANKED_BY))}"
    ).rstrip()


def _quality(name: str, models: Sequence[ResultRow], best: ResultRow, reference: ResultRow) -> str:
    how = metric(name)
    figure = best.figures[name]
    count = f", {count_of(figure)}" if count_of(figure) else ""
    verb = _VERBS.get(name, f"has a {how.label} of")
    text = f"On the test part it {verb} {_with_unit(how, figure.value)}"
    interval = how.interval(figure.low, figure.high)
    text += f" ({interval}{count})" if interval else f" ({count[2:]})" if count else ""
    if best is reference:
        if len(models) == 1:
            return f"{text}."
        others = [row for row in models if row is not best and name in row.differences]
        real = [row for row in others if row.differences[name].is_one]
        if not others:
            return f"{text}."
        if not real:
            return f"{text}; no other row differs from it there by more than chance may do."
        changes = (f"{row.name} ({how.change(row.differences[name].value)})" for row in real)
        verb = "differs" if len(real) == 1 else "differ"
        return f"{text}; {listed(changes)} {verb} from it there."
    theirs = reference.figures.get(name)
    if theirs is None:
        return f"{text}."
    judged = _judged(how, best.differences.get(name))
    return f"{text}, the reference row {_with_unit(how, theirs.value)}. {judged}".rstrip()


def _judged(how: Metric, difference: Difference | None) -> str:
    """Say whether a difference from the reference row is one."""
    if difference is None:
        return ""
    change, interval = (
        how.change(difference.value),
        how.change_interval(difference.low, difference.high),
    )
    if not interval:
        return (
            f"Whether that difference ({change}) is more than chance cannot be told from one seed."
        )
    if difference.is_one:
        return f"That difference is one: {change}, 95 % interval {interval}, which excludes 0."
    return f"That difference may be chance: {change}, 95 % interval {interval}, which holds 0."


def _against_lookup(rows: Sequence[ResultRow], best: ResultRow, reference: ResultRow) -> str:
    """Say whether the best row beats the better one of the baselines that look answers up."""
    looked_up = [
        row for row in rows if row.kind == "baseline" and row.name.lower().startswith(LOOKED_UP)
    ]
    name = headline_metric([best, *looked_up])
    if not looked_up or name is None:
        return ""
    how = metric(name)
    rival = max(looked_up, key=lambda row: row.figures[name].value)
    ours, theirs = best.figures[name], rival.figures[name]
    told = f"{_with_unit(how, ours.value)} against {_with_unit(how, theirs.value)}, {how.label}"
    if best is reference and name in rival.differences:
        difference = rival.differences[name]
        sure = difference.is_one
        why = "the interval of their difference " + ("excludes 0" if sure else "holds 0")
    else:
        sure = _apart(ours, theirs)
        why = "their intervals " + ("do not overlap" if sure else "overlap")
        if ours.low is None or theirs.low is None:
            why = "there are too few seeds or pairs for intervals"
    if not sure:
        return (
            f"That it beats looking the answer up ({rival.name}) is not shown: {told}, and {why}."
        )
    verb = "beats" if ours.value > theirs.value else "does not beat"
    return f"It {verb} looking the answer up ({rival.name}): {told}; {why}."


def _of_baselines(rows: Sequence[ResultRow]) -> str:
    name = headline_metric(rows)
    if not rows or name is None:
        return "No model was scored."
    how = metric(name)
    told = (f"{row.name} {_with_unit(how, row.figures[name].value)}" for row in rows)
    return f"No model was scored, only baselines. {how.label}: {listed(told)}."


def _caution(models: Sequence[ResultRow]) -> list[str]:
    fewest = min(len(row.runs) for row in models)
    if fewest > 1:
        return []
    return [
        "Some rows rest on one seed: their intervals tell how the test pairs vary, not how another "
        "training would come out. Three seeds a row are the least for a claim."
    ]


def _figure(name: str, figure: Figure | None) -> str:
    if figure is None:
        return metric(name).write(None)
    interval = metric(name).interval(figure.low, figure.high)
    value = metric(name).write(figure.value)
    return f"{value}, {interval}" if interval else value


def _with_unit(how: Metric, value: float) -> str:
    return f"{how.write(value)} %" if how.unit == "%" else how.write(value)


def _apart(a: Figure, b: Figure) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or b.low > a.high
