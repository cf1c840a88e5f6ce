"""Aggregate runs over seeds and compare them: from the metrics of each run to the table's rows.

Runs with equal settings but the seed are one configuration and one row. Its estimates are means
over seeds with Student's t intervals. A single seed and a baseline get a bootstrap over clusters of
test pairs if the counts per pair are known. Differences from the reference row are paired by seed
if at least two seeds are shared. Else they are those of the means, with Welch's t interval, if both
rows have two seeds; and paired by cluster if one of them has a single run.

All counts of a pair are zero if the metric does not apply to it: no second program exists for its
task, or it is too long for the model. Differences by cluster cover the pairs that both rows share.

Shape letters: N pairs, C counts of a metric.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from statistics import fmean
from typing import Any

import numpy as np

from en2py.config.run_name import setting
from en2py.evaluation.configurations import REFERENCE, RunMetrics, axes, configurations, names_of
from en2py.evaluation.metrics.program_metrics import metric_value
from en2py.evaluation.metrics.registry import listed, metric, order_of
from en2py.evaluation.results import BASELINE, MODEL, Difference, Estimate, ResultRow
from en2py.evaluation.statistics import (
    Floats,
    Interval,
    cluster_bootstrap,
    means_of,
    over_seeds,
    unpaired_over_seeds,
    wilson,
)

BySeed = Mapping[Any, float]

_RESAMPLING_SEED = 0
_LISTED = 4  # metrics in a remark
_MACHINE = {"trainer.precision", "trainer.devices"}


def values_of(name: str, counts: Floats) -> Floats:
    """Return a metric `[R]` from rows of summed counts `[R, C]`; NaN if it applies to no pair."""
    if counts.shape[1] > 2:
        return np.array(
            [metric_value(name, row.tolist()) if row.any() else math.nan for row in counts]
        )
    means = means_of(counts)
    return np.exp(np.minimum(means, 700.0)) if name == "ppl" else means


def make_rows(
    runs: Sequence[RunMetrics],
    clusters: Sequence[Hashable] = (),
    *,
    rank_by: str = "nll",
    varied: Sequence[str] | None = None,
    base: Mapping[str, str] | None = None,
) -> list[ResultRow]:
    """Return the rows of the table: models ranked by a validation metric, then baselines.

    Args:
        runs: All runs and baselines; the configuration of the first model is the reference.
        clusters: The cluster of each evaluated pair, N labels; needed if runs have counts.
        rank_by: A validation metric of which less is better.
        varied: The settings that name the rows; None: those that vary between the runs.
        base: Settings from which rows may be named by their changes; None: of the reference.

    Returns:
        The rows; the reference row has no differences, nor has any row if there is no model.
    """
    varied = axes(runs) if varied is None else varied
    groups = configurations(runs)
    reference = next((group for group in groups if group[0].kind == MODEL), None)
    is_mixed = len(_machines(runs)) > 1 and _MACHINE.isdisjoint(varied)
    rows = [
        _row(name, group, () if group is reference else reference or (), varied, clusters, is_mixed)
        for name, group in zip(names_of(groups, varied, base), groups, strict=True)
    ]

    def rank(row: ResultRow) -> tuple[bool, float]:
        estimate = row.validation.get(rank_by)
        value = estimate.value if estimate else math.inf
        return row.kind == BASELINE, value if math.isfinite(value) else math.inf

    return sorted(rows, key=rank)  # stable: baselines keep their order


def _row(
    name: str,
    runs: Sequence[RunMetrics],
    reference: Sequence[RunMetrics],
    varied: Sequence[str],
    clusters: Sequence[Hashable],
    has_other_machines: bool,
) -> ResultRow:
    first = runs[0]
    tested = _shared([run.values for run in runs])
    validated = _shared([run.validation for run in runs])
    buckets = dict.fromkeys(bucket for run in runs for bucket in run.groups)
    settings = {key: setting(first.settings, key) for key in varied if first.kind == MODEL}
    notes = [note for run in runs for note in run.notes]
    if name == REFERENCE:  # where settings are in no name
        notes.insert(0, "has " + ", ".join(f"{key}={value}" for key, value in settings.items()))
    notes += _missing(runs)
    machines = _machines(runs)
    if len(machines) > 1 or (machines and has_other_machines):
        notes.append(f"device and precision of the training: {listed(machines)}")
    return ResultRow(
        name=name,
        kind=first.kind,
        settings=settings,
        runs=[run.name for run in runs if run.kind == MODEL],
        figures={key: _estimate(key, runs, clusters) for key in tested},
        validation={key: _over_seeds(_validation(key, runs)) for key in validated},
        differences=_differences(runs, reference, clusters) if reference else {},
        failures=dict(first.failures),
        groups={
            bucket: _mean_of([run.groups[bucket] for run in runs if bucket in run.groups])
            for bucket in buckets
        },
        notes=list(dict.fromkeys(notes)),
        has_other_pairs=any(run.has_other_pairs for run in runs),
    )


def _missing(runs: Sequence[RunMetrics]) -> list[str]:
    """Return notes on the metrics that a row has not, because some of its runs lack them.

    Programs are generated for validation descriptions in some epochs only, which is no fault.
    """
    tables = [
        {*run.values, *(f"val/{key}" for key in run.validation if metric(key).from_logits)}
        for run in runs
    ]
    labels: dict[str, list[str]] = {}
    for key in sorted({*chain.from_iterable(tables)}, key=order_of):
        lacking = [str(run.seed) for run, has in zip(runs, tables, strict=True) if key not in has]
        if lacking:
            labels.setdefault(listed(lacking), []).append(metric(key).label)
    return [
        f"no {listed(names if len(names) <= _LISTED else [*names[:_LISTED], 'others'])}, "
        f"which the result of seed {seeds} lacks"
        for seeds, names in labels.items()
    ]


def _machines(runs: Sequence[RunMetrics]) -> list[str]:
    return sorted({run.machine for run in runs} - {""})


def _values(key: str, runs: Sequence[RunMetrics]) -> BySeed:
    return {run.seed: run.values[key] for run in runs}


def _validation(key: str, runs: Sequence[RunMetrics]) -> BySeed:
    return {run.seed: run.validation[key] for run in runs}


def _estimate(key: str, runs: Sequence[RunMetrics], clusters: Sequence[Hashable]) -> Estimate:
    """Return the estimate of a metric: over clusters for one run with counts, else over seeds."""
    tables = [run.counts[key] for run in runs if key in run.counts]
    if len(runs) == 1 and tables:
        interval = cluster_bootstrap(
            tables[0], clusters, partial(values_of, key), seed=_RESAMPLING_SEED
        )
        # The stored value, not that of the interval, which adds the counts up in another order.
        by_seed = _known_seeds(_values(key, runs))
        value, ends = runs[0].values[key], _ends(interval)
        if _is_mean_of_shares(key) and value in (0.0, 1.0) and interval.n > 1:
            ends = wilson(value, interval.n)
        found = Estimate(value, *ends, "clusters", interval.n, by_seed)
    else:
        found = _over_seeds(_values(key, runs))
    if not metric(key).is_share or len(tables) < len(runs):
        return found
    k, of = (math.fsum(row[i] for table in tables for row in table) for i in (0, 1))
    return replace(found, k=k, of=of)


def _is_mean_of_shares(key: str) -> bool:
    return metric(key).is_share or "@" in key  # pass@k


def _over_seeds(values: BySeed) -> Estimate:
    interval = over_seeds(list(values.values()))
    return Estimate(interval.value, *_ends(interval), "seeds", interval.n, _known_seeds(values))


def _known_seeds(values: BySeed) -> dict[str, float]:
    return {str(seed): value for seed, value in values.items() if seed is not None}


def _differences(
    runs: Sequence[RunMetrics], reference: Sequence[RunMetrics], clusters: Sequence[Hashable]
) -> dict[str, Difference]:
    """Compare the metrics that two configurations share; on other pairs none is significant."""
    both = [*runs, *reference]
    excluded = {key for run in both for key in run.not_comparable}
    tested = [key for key in _shared([run.values for run in both]) if key not in excluded]
    validated = [key for key in _shared([run.validation for run in both]) if key not in excluded]
    found = {key: _difference(key, runs, reference, clusters) for key in tested} | {
        f"val/{key}": difference_by_seed(_validation(key, runs), _validation(key, reference))
        for key in validated
    }
    has_other_pairs = any(run.has_other_pairs for run in runs)
    return {
        key: replace(difference, is_significant=difference.is_significant and not has_other_pairs)
        for key, difference in found.items()
        if difference is not None
    }


def _difference(
    key: str,
    runs: Sequence[RunMetrics],
    reference: Sequence[RunMetrics],
    clusters: Sequence[Hashable],
) -> Difference | None:
    """Compare two configurations; None if the metric applies to no pair of both."""
    ours, theirs = _values(key, runs), _values(key, reference)
    have_seeds = min(len(ours), len(theirs)) > 1
    if have_seeds or not all(key in run.counts for run in (*runs, *reference)):
        return difference_by_seed(ours, theirs)
    interval = _difference_by_clusters(key, runs, reference, clusters)
    if math.isnan(interval.value):
        return None
    low, high = _ends(interval)
    if _is_mean_of_shares(key) and interval.low == interval.high and interval.low in (-1.0, 1.0):
        low, high = sorted(interval.value * end for end in wilson(1.0, interval.n))
    is_significant = low is not None and interval.excludes_zero
    return Difference(interval.value, low, high, "clusters", is_significant)


def difference_by_seed(ours: BySeed, theirs: BySeed) -> Difference:
    """Compare two rows in pairs of seeds, or their means if fewer than two seeds are shared.

    There is no interval if one of them has a single value.
    """
    if min(len(ours), len(theirs)) < 2:
        return Difference(fmean(ours.values()) - fmean(theirs.values()), None, None, "seeds", False)
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < 2:
        interval = unpaired_over_seeds([*theirs.values()], [*ours.values()])
        return Difference(interval.value, *_ends(interval), "other seeds", interval.excludes_zero)
    interval = over_seeds([ours[seed] - theirs[seed] for seed in shared])
    return Difference(interval.value, *_ends(interval), "seeds", interval.excludes_zero)


def _difference_by_clusters(
    key: str,
    runs: Sequence[RunMetrics],
    reference: Sequence[RunMetrics],
    clusters: Sequence[Hashable],
) -> Interval:
    """Compare the means over runs on the same resampled clusters.

    The counts of all runs are columns of one table, so that each resample covers all of them.
    """
    tables = [run.counts[key] for run in (*reference, *runs)]
    width = len(tables[0][0])
    shared = [all(any(row) for row in rows) for rows in zip(*tables, strict=True)]
    columns = [
        [count for row in rows for count in row]
        for rows, kept in zip(zip(*tables, strict=True), shared, strict=True)
        if kept
    ]
    if not columns:
        return Interval(math.nan, math.nan, math.nan, 0)
    labels = [label for label, kept in zip(clusters, shared, strict=True) if kept]

    def differences(counts: Floats) -> Floats:
        parts = np.split(counts, counts.shape[1] // width, axis=1)
        values = np.array([values_of(key, part) for part in parts])
        mean: Floats = values[len(reference) :].mean(axis=0) - values[: len(reference)].mean(axis=0)
        return mean

    return cluster_bootstrap(columns, labels, differences, seed=_RESAMPLING_SEED)


def _ends(interval: Interval) -> tuple[float | None, float | None]:
    """Return the ends of an interval.

    They are None for NaN, which JSON cannot store, and for equal resamples, which show no spread.
    """
    if math.isnan(interval.low) or math.isnan(interval.high) or interval.low == interval.high:
        return None, None
    return interval.low, interval.high


def _mean_of(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: fmean(table[key] for table in tables) for key in _shared(tables)}


def _shared(tables: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the keys that all tables have, in the order of the first."""
    return [key for key in tables[0] if all(key in table for table in tables)]
