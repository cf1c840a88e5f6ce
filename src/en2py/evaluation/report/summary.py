"""The answer at the top of a report, in sentences made from the figures, no surer than they are."""

from collections.abc import Iterable, Sequence

from en2py.evaluation.metrics.registry import Metric, count_of, figure_of, listed, metric
from en2py.evaluation.results import Difference, Estimate, ResultRow, Results

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
    reference = next((row for row in models if row.name == results.reference_row), models[0])
    best = best_row(results) or models[0]
    part = str(results.data.get("part", "test"))
    name = headline_metric([best, reference]) or headline_metric([best])
    sentences = [_ranking(models, best, reference, ranked_by(results))]
    if name:
        sentences += [_quality(name, part, models, best, reference)]
    sentences += [_against_lookup(results.rows, best, reference)]
    unfinished = results.data.get("unfinished")
    missing = [f"Runs of this study that are not in it: {unfinished}."] if unfinished else []
    return [" ".join(filter(None, sentences)), *missing, *_caution(models)]


def ranked_by(results: Results) -> str:
    """Return the validation figure by which model rows are ranked.

    It is the NLL, unless some row cannot be compared in it with the reference row, because its
    tokens are others: then bits per character.
    """
    others = [
        row for row in results.rows if row.kind == "model" and row.name != results.reference_row
    ]
    apart = any("nll" in row.validation and "val/nll" not in row.differences for row in others)
    return "val/bpc" if apart else "val/nll"


def best_row(results: Results) -> ResultRow | None:
    """Return the model row that is best on validation, None where no row knows its figure."""
    name = ranked_by(results)
    models = [row for row in results.rows if row.kind == "model"]
    known = [(f.value, row) for row in models if (f := figure_of(row, name)) is not None]
    return min(known, key=lambda item: item[0])[1] if known else None


def surely_best(results: Results) -> str:
    """Return the name of the row that may be marked as best on validation, empty where none may.

    Its difference from the reference row has to be one; where the reference row itself is best,
    the differences of all other rows.
    """
    best, name = best_row(results), ranked_by(results)
    models = [row for row in results.rows if row.kind == "model"]
    if best is None or len(models) < 2:
        return ""
    asked = [best] if best.name != results.reference_row else [r for r in models if r is not best]
    found = [row.differences.get(name) for row in asked]
    return best.name if all(one is not None and one.is_significant for one in found) else ""


def headline_metric(rows: Sequence[ResultRow]) -> str | None:
    """Return the metric that says most and that all rows have."""
    shared = (name for name in HEADLINES if all(name in row.figures for row in rows))
    return next(shared, None)


def _ranking(models: Sequence[ResultRow], best: ResultRow, reference: ResultRow, name: str) -> str:
    own, label = figure_of(best, name), metric(name.removeprefix("val/")).label
    if len(models) == 1:
        known = f": {label} {_figure(name, own)} on validation" if own else ""
        return f"One configuration was scored, {_quoted(best)}{known}."
    if own is None:
        return f"{len(models)} configurations were scored; none knows its validation figures."
    start, has = f"Of {len(models)} configurations", f"{label} {_figure(name, own)}"
    if best is reference:
        return f"{start} the reference row, {_quoted(best)}, is best on validation: {has}."
    theirs = figure_of(reference, name)
    other = f"; the reference row, {_quoted(reference)}, has {_figure(name, theirs)}"
    judged = _judged(metric(name), best.differences.get(name))
    text = f"{start} {_quoted(best)} is best on validation: {has}{other if theirs else ''}."
    return f"{text} {judged}".rstrip()


def _quality(
    name: str, part: str, models: Sequence[ResultRow], best: ResultRow, reference: ResultRow
) -> str:
    how = metric(name)
    figure = best.figures[name]
    count = f", {count_of(figure)}" if count_of(figure) else ""
    verb = _VERBS.get(name, f"has a {how.label} of")
    text = f"On the {part} part it {verb} {_with_unit(how, figure.value)}"
    interval = how.interval(figure.low, figure.high)
    text += f" ({interval}{count})" if interval else f" ({count[2:]})" if count else ""
    if best is reference:
        if len(models) == 1:
            return f"{text}."
        others = [row for row in models if row is not best and name in row.differences]
        real = [row for row in others if row.differences[name].is_significant]
        if not others:
            return f"{text}."
        if not real:
            return f"{text}; no other row differs from it there by more than chance may do."
        changes = (f"{_quoted(row)} ({how.change(row.differences[name].value)})" for row in real)
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
    change = how.change(difference.value)
    interval = how.change_interval(difference.low, difference.high)
    if not interval:
        return f"Whether the difference, {change}, is more than chance one seed cannot tell."
    said = (
        "excludes 0, so it counts as one"
        if difference.is_significant
        else "holds 0: it may be chance"
    )
    return f"The interval of the difference, {change} ({interval}), {said}."


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
    verb = _VERBS.get(name, f"has a {how.label} of")
    told = f"{rival.name} {verb} {_with_unit(how, theirs.value)}"
    if best is reference and name in rival.differences:
        difference = rival.differences[name]
        sure = difference.is_significant
        why = "the interval of their difference " + ("excludes 0" if sure else "holds 0")
    else:
        sure = _apart(ours, theirs)
        why = "their intervals " + ("do not overlap" if sure else "overlap")
        if ours.low is None or theirs.low is None:
            why = "there are too few seeds or pairs for intervals"
    if not sure:
        return f"That it beats looking the answer up is not shown: {told}, and {why}."
    outcome = "beats" if ours.value > theirs.value else "does not beat"
    return f"It {outcome} looking the answer up: {told}, and {why}."


def _of_baselines(rows: Sequence[ResultRow]) -> str:
    name = headline_metric(rows)
    if not rows or name is None:
        return "No model was scored."
    how = metric(name)
    told = (f"{row.name} {_with_unit(how, row.figures[name].value)}" for row in rows)
    return f"No model was scored, only baselines. {how.label}: {listed(told)}."


def _caution(models: Sequence[ResultRow]) -> list[str]:
    told = []
    if min(len(row.runs) for row in models) < 2:
        told.append(
            "Some rows rest on one seed, and nothing here tells how another training would come "
            "out: three seeds a row are the least for a claim."
        )
    if len({frozenset(_seeds(row)) for row in models}) > 1:
        told.append(
            "Not all rows have the same seeds. A row's mean is over its own; a difference with an "
            "interval is over the seeds that both rows have."
        )
    return told


def _seeds(row: ResultRow) -> Iterable[str]:
    return next((figure.by_seed for figure in row.figures.values()), {})


def _figure(name: str, figure: Estimate | None) -> str:
    if figure is None:
        return metric(name).write(None)
    interval = metric(name).interval(figure.low, figure.high)
    value = metric(name).write(figure.value)
    return f"{value} ({interval})" if interval else value


def _quoted(row: ResultRow) -> str:
    return f"“{row.name}”"


def _with_unit(how: Metric, value: float) -> str:
    return f"{how.write(value)}\u00a0%" if how.unit == "%" else how.write(value)


def _apart(a: Estimate, b: Estimate) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or b.low > a.high
