"""How sure a figure is: bootstrap over clusters, intervals over seeds, differences in pairs.

Pairs of one cluster (one task in many wordings) are right or wrong together; drawn one by one they
would make every interval too narrow. So whole clusters are drawn. Seeds are few, too few for a
bootstrap, so they get Student's t.

Shape letters: N pairs, G clusters, C counts of a metric, R resamples.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Value = Callable[[Sequence[float]], float]
Floats = NDArray[np.float64]

_BLOCK = 256  # resamples drawn at once: enough to be fast, few enough to stay small


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; `low` and `high` are NaN where there is too little to tell.

    Attributes:
        value: The figure itself: of all pairs, or the mean over seeds.
        low: Lower end.
        high: Upper end.
        n: Clusters or seeds it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Tell whether a difference may be called one."""
        return self.low > 0 or self.high < 0


def mean_of(counts: Sequence[float]) -> float:
    """Return the mean from [sum, number]: the value of a metric whose counts are such."""
    return float(counts[0] / counts[1]) if counts[1] else math.nan


def cluster_bootstrap(
    counts: ArrayLike,
    clusters: Sequence[Hashable],
    value: Value = mean_of,
    *,
    seed: int,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Return a metric with its percentile interval under resampling of clusters.

    Args:
        counts: A row of summable numbers per pair, `[N, C]`; `[sum, number]` for a mean.
        clusters: The cluster of each pair, N labels.
        value: Makes the figure from summed counts.
        seed: Of the resampling; the same seed gives the same interval.
        n_resamples: R.
        level: Share of intervals that hold the true figure.

    Raises:
        ValueError: If the lengths differ or there is no pair.
    """
    sums = _cluster_sums(counts, clusters)  # [G, C]
    totals = _resampled(sums, seed, n_resamples)  # [R, C]
    samples = np.array([value(total) for total in totals])
    return _percentiles(value(sums.sum(axis=0)), samples, len(sums), level)


def over_seeds(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the mean over seeds with Student's t interval, n - 1 degrees of freedom.

    One seed has no interval; seeds that agree to the last digit have one of no width.
    """
    n = len(values)
    if n == 0:
        raise ValueError("a mean over seeds needs at least one value")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return Interval(mean, mean - half, mean + half, n)


def paired_over_seeds(a: dict[int, float], b: dict[int, float], *, level: float = 0.95) -> Interval:
    """Return the mean of B - A over the seeds that both ran, with its t interval.

    Args:
        a: Seed to figure of setting A.
        b: Seed to figure of setting B.
        level: Share of intervals that hold the true difference.

    Raises:
        ValueError: If they have no seed in common.
    """
    shared = sorted(a.keys() & b.keys())
    if not shared:
        raise ValueError(f"no seed in common: A ran {sorted(a)}, B ran {sorted(b)}")
    return over_seeds([b[seed] - a[seed] for seed in shared], level=level)


def _cluster_sums(counts: ArrayLike, clusters: Sequence[Hashable]) -> Floats:
    """Add the counts up per cluster, clusters in the order of their first pair, `[G, C]`."""
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or len(table) != len(clusters):
        raise ValueError(
            f"counts of shape {list(table.shape)} do not fit {len(clusters)} cluster labels; "
            "give one row per pair"
        )
    if not len(table):
        raise ValueError("there is no pair to resample")
    numbers: dict[Hashable, int] = {}
    of_pair = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    sums = np.zeros((len(numbers), table.shape[1]))
    np.add.at(sums, of_pair, table)
    return sums


def _resampled(sums: Floats, seed: int, n_resamples: int) -> Floats:
    """Draw as many clusters as there are, with replacement, and add them up, R times, `[R, C]`."""
    rng = np.random.default_rng(seed)
    n = len(sums)
    totals = np.empty((n_resamples, sums.shape[1]))
    for first in range(0, n_resamples, _BLOCK):
        rows = min(_BLOCK, n_resamples - first)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        totals[first : first + rows] = times @ sums
    return totals


def _percentiles(value: float, samples: Floats, n: int, level: float) -> Interval:
    """Cut the tails off; resamples without a figure (nothing to ask) say nothing."""
    known = samples[np.isfinite(samples)]
    if n < 2 or not len(known):
        return Interval(value, math.nan, math.nan, n)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)
