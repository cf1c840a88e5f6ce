"""From single runs to the rows of a table: one configuration a row, its seeds taken together.

Runs with equal settings but for the seed are one configuration. Its figures are means over seeds
with Student's t; a single seed, and a baseline, which has none, get a bootstrap over clusters of
test pairs where the counts per pair are known. Differences from the reference row are paired: by
seed where two seeds or more are shared, else by cluster.

A pair whose counts are all zero was not asked (nobody else wrote that task, the text is longer than
the model reads); differences by cluster are taken over the pairs that both rows were asked.

Shape letters: N pairs, C counts of a metric.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from en2py.config.run_name import without_seed
from en2py.evaluation.results import Difference, Estimate, ResultRow
from en2py.evaluation.statistics import (
    Interval,
    cluster_bootstrap,
    over_seeds,
    paired_over_seeds,
)

MODEL, BASELINE = "model", "baseline"
Table = Sequence[Sequence[float]]  # [N, C]
ValueOf = Callable[[str, Sequence[float]], float]

_RESAMPLING_SEED = 0
# Choices that name what is chosen elsewhere, or where things are written.
_NO_AXES = ("experiment", "logger")


@dataclass(frozen=True)
class RunMetrics:
    """One run, or one baseline, as plain numbers.

    Attributes:
        name: Of the run, or of the baseline.
        kind: `model` or `baseline`.
        seed: None for baselines.
        settings: All that it chose, see `run_name.settings`: groups as `loss`, values as
            `loss.label_smoothing`; without the seed.
        values: Metric to value on the test pairs.
        counts: Metric to counts per test pair, `[N, C]`; empty where only values are known.
        validation: Metric to value on validation.
        failures: Why programs are wrong to how many.
        groups: Bucket to metric to value.
        notes: What a reader has to know.
        not_comparable: Metrics that cannot be compared with those of the reference row.
    """

    name: str
    kind: str
    seed: int | None
    settings: Mapping[str, str]
    values: Mapping[str, float]
    counts: Mapping[str, Table] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    not_comparable: Collection[str] = ()


@dataclass(frozen=True)
class Metrics:
    """What has to be known of the metrics to give them intervals.

    Attributes:
        value: Makes a metric's value from its name and its summed counts; NaN where nothing was
            asked.
        shares: Metrics whose counts are [how many, of how many].
        clusters: The cluster of each test pair, N labels.
    """

    value: ValueOf
    shares: Collection[str]
    clusters: Sequence[Hashable]


def axes(runs: Sequence[RunMetrics]) -> list[str]:
    """Return the settings that vary between models, without those that follow from others.

    A value that is the same in all runs of one choice of its own group (`model.d_model` of
    `model`), and one that repeats another value in every run (`embeddings.vectors.dim`), is no
    axis of its own.
    """
    models = [run.settings for run in runs if run.kind == MODEL]
    keys = dict.fromkeys(key for settings in models for key in settings)
    columns = {key: tuple(settings.get(key, "") for settings in models) for key in keys}
    varied = {key: column for key, column in columns.items() if len(set(column)) > 1}
    groups = [key for key in varied if _is_choice(key) and key not in _NO_AXES]
    found, seen = list(groups), set()
    for key, column in varied.items():
        if key in found or key in _NO_AXES or column in seen:
            continue
        seen.add(column)
        owner = next((g for g in groups if key.startswith(f"{g.replace('/', '.')}.")), None)
        if owner is None or not _follows(column, varied[owner]):
            found.append(key)
    return found


def configurations(runs: Sequence[RunMetrics]) -> list[list[RunMetrics]]:
    """Put runs with equal settings together, by seed; a seed that comes again starts a new one."""
    found: dict[Hashable, list[dict[int | None, RunMetrics]]] = {}
    for run in runs:
        key = (run.kind, tuple(sorted(run.settings.items())), run.name * (run.kind == BASELINE))
        own = found.setdefault(key, [])
        place = next((seeds for seeds in own if run.seed not in seeds), None)
        if place is None:
            own.append(place := {})
        place[run.seed] = run
    groups = [seeds for own in found.values() for seeds in own]
    return [[seeds[seed] for seed in sorted(seeds, key=lambda s: s or 0)] for seeds in groups]


def make_rows(
    runs: Sequence[RunMetrics], metrics: Metrics, *, rank_by: str = "nll"
) -> list[ResultRow]:
    """Return the rows of a table: models by their validation figure, then baselines.

    Args:
        runs: All runs and baselines; the configuration of the first model is the reference.
        metrics: What has to be known of the metrics.
        rank_by: A validation metric of which less is better.

    Returns:
        Rows; the reference row (and every row, where there is no model) has no differences.
    """
    varied = axes(runs)
    groups = configurations(runs)
    reference = next((own for own in groups if own[0].kind == MODEL), None)
    names = _names(groups, varied)
    rows = [
        _row(name, own, None if own is reference else reference, varied, metrics)
        for name, own in zip(names, groups, strict=True)
    ]

    def rank(row: ResultRow) -> tuple[bool, float]:
        figure = row.validation.get(rank_by)
        return row.kind == BASELINE, figure.value if figure else math.inf

    return sorted(rows, key=rank)  # stable: baselines stay in the order given


def reference_name(runs: Sequence[RunMetrics]) -> str:
    """Return the name of the row that differences are from; empty where there is no model."""
    groups = configurations(runs)
    named = zip(groups, _names(groups, axes(runs)), strict=True)
    return next((name for own, name in named if own[0].kind == MODEL), "")


def fixed(runs: Sequence[RunMetrics]) -> dict[str, str]:
    """Return the settings that all models share, choices of groups first."""
    models = [run.settings for run in runs if run.kind == MODEL]
    if not models:
        return {}
    shared = {
        key: value
        for key, value in models[0].items()
        if key not in _NO_AXES and all(own.get(key) == value for own in models)
    }
    return dict(sorted(shared.items(), key=lambda item: not _is_choice(item[0])))


def _is_choice(key: str) -> bool:
    return "." not in key


def _follows(column: Sequence[str], owner: Sequence[str]) -> bool:
    """Whether equal choices always bring equal values."""
    return len(set(zip(owner, column, strict=True))) == len(set(owner))


def _names(groups: Sequence[Sequence[RunMetrics]], varied: Sequence[str]) -> list[str]:
    """Name rows by what they chose; equal names, which a repeated run may bring, are numbered."""
    names: list[str] = []
    for own in groups:
        chosen = [f"{key}={own[0].settings.get(key, '')}" for key in varied]
        name = own[0].name
        if own[0].kind == MODEL:
            name = ", ".join(chosen) or without_seed(name)
        n_same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({n_same + 1})" if n_same else name)
    return names


def _row(
    name: str,
    own: Sequence[RunMetrics],
    reference: Sequence[RunMetrics] | None,
    varied: Sequence[str],
    metrics: Metrics,
) -> ResultRow:
    first = own[0]
    buckets = dict.fromkeys(bucket for run in own for bucket in run.groups)
    shared = [metric for metric in _names_of(own) if reference and metric in reference[0].values]
    apart = {metric for run in own for metric in run.not_comparable}
    return ResultRow(
        name=name,
        kind=first.kind,
        settings={key: first.settings.get(key, "") for key in varied if first.kind == MODEL},
        runs=[run.name for run in own if run.kind == MODEL],
        figures={metric: _figure(metric, own, metrics) for metric in _names_of(own)},
        validation={
            metric: _over_seeds({run.seed: run.validation[metric] for run in own})
            for metric in first.validation
            if all(metric in run.validation for run in own)
        },
        differences={
            metric: difference
            for metric in shared
            if metric not in apart
            and (difference := _difference(metric, own, reference or (), metrics)) is not None
        }
        | {
            f"val/{metric}": _difference_by_seed(
                {run.seed: run.validation[metric] for run in own},
                {run.seed: run.validation[metric] for run in reference or ()},
            )
            for metric in first.validation
            if metric not in apart
            and reference
            and all(metric in run.validation for run in (*own, *reference))
        },
        failures=dict(first.failures),
        groups={
            bucket: _mean_of([run.groups[bucket] for run in own if bucket in run.groups])
            for bucket in buckets
        },
        notes=list(dict.fromkeys(note for run in own for note in run.notes)),
    )


def _names_of(own: Sequence[RunMetrics]) -> list[str]:
    """Return the metrics that all runs of a configuration have."""
    return [metric for metric in own[0].values if all(metric in run.values for run in own)]


def _figure(metric: str, own: Sequence[RunMetrics], metrics: Metrics) -> Estimate:
    tables = [run.counts[metric] for run in own if metric in run.counts]
    k = of = None
    if metric in metrics.shares and len(tables) == len(own):
        k = math.fsum(row[0] for table in tables for row in table)
        of = math.fsum(row[1] for table in tables for row in table)
    if len(own) == 1 and tables:
        interval = cluster_bootstrap(
            tables[0],
            metrics.clusters,
            lambda counts: metrics.value(metric, counts),
            seed=_RESAMPLING_SEED,
        )
        by_seed = _by_seed({own[0].seed: own[0].values[metric]})
        low, high = _ends(interval)
        return Estimate(
            own[0].values[metric], low, high, "clusters", interval.n, by_seed, k=k, of=of
        )
    found = _over_seeds({run.seed: run.values[metric] for run in own})
    return Estimate(
        found.value, found.low, found.high, found.over, found.n, found.by_seed, k=k, of=of
    )


def _over_seeds(values: Mapping[int | None, float]) -> Estimate:
    interval = over_seeds(list(values.values()))
    return Estimate(interval.value, *_ends(interval), "seeds", interval.n, _by_seed(values))


def _by_seed(values: Mapping[int | None, float]) -> dict[str, float]:
    return {str(seed): value for seed, value in values.items() if seed is not None}


def _difference(
    metric: str, own: Sequence[RunMetrics], reference: Sequence[RunMetrics], metrics: Metrics
) -> Difference | None:
    """Compare two configurations; None where no pair was asked of both."""
    ours, theirs = (
        {run.seed: run.values[metric] for run in side if run.seed is not None}
        for side in (own, reference)
    )
    paired = len(ours.keys() & theirs.keys()) >= 2
    if paired or not all(metric in run.counts for run in (*own, *reference)):
        return _difference_by_seed(
            {run.seed: run.values[metric] for run in own},
            {run.seed: run.values[metric] for run in reference},
        )
    interval = _by_clusters(metric, own, reference, metrics)
    if math.isnan(interval.value):
        return None
    return Difference(interval.value, *_ends(interval), "clusters", interval.excludes_zero)


def _difference_by_seed(
    ours: Mapping[int | None, float], theirs: Mapping[int | None, float]
) -> Difference:
    """Compare in pairs of seeds; with fewer than two there is no interval."""
    pairs = [{s: v for s, v in side.items() if s is not None} for side in (theirs, ours)]
    if len(pairs[0].keys() & pairs[1].keys()) < 2:
        plain = _mean(ours.values()) - _mean(theirs.values())
        return Difference(plain, None, None, "seeds", False)
    interval = paired_over_seeds(*pairs)
    return Difference(interval.value, *_ends(interval), "seeds", interval.excludes_zero)


def _by_clusters(
    metric: str, own: Sequence[RunMetrics], reference: Sequence[RunMetrics], metrics: Metrics
) -> Interval:
    """Compare the means over runs on the same drawn clusters.

    The runs' counts stand side by side in one table, so that a resample draws for all of them.
    """
    tables = [run.counts[metric] for run in (*reference, *own)]
    width = len(tables[0][0])
    asked = [all(any(row) for row in rows) for rows in zip(*tables, strict=True)]
    side_by_side = [
        [count for row in rows for count in row]
        for rows, kept in zip(zip(*tables, strict=True), asked, strict=True)
        if kept
    ]
    if not side_by_side:
        return Interval(math.nan, math.nan, math.nan, 0)
    clusters = [label for label, kept in zip(metrics.clusters, asked, strict=True) if kept]

    def difference(counts: Sequence[float]) -> float:
        parts = [counts[i : i + width] for i in range(0, len(counts), width)]
        values = [metrics.value(metric, part) for part in parts]
        return _mean(values[len(reference) :]) - _mean(values[: len(reference)])

    return cluster_bootstrap(side_by_side, clusters, difference, seed=_RESAMPLING_SEED)


def _ends(interval: Interval) -> tuple[float | None, float | None]:
    """Return the ends; None for what JSON has no number for."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return None, None
    return interval.low, interval.high


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


def _mean_of(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    shared = [metric for metric in tables[0] if all(metric in table for table in tables)]
    return {metric: _mean([table[metric] for table in tables]) for metric in shared}
