"""Confidence intervals: bootstrap over clusters, Student's t over seeds, differences.

Pairs of one cluster (one task in many wordings) are right or wrong together; resampling single
pairs would make every interval too narrow. Seeds are too few for a bootstrap.

Shape letters: N pairs, G clusters, C counts of a metric, R resamples.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]  # from summed counts, `[R, C]` to `[R]`

LEVEL = 0.95  # of every interval
POWER = 0.8  # probability that an interval excludes 0, for `detectable_difference`
_NO_SPREAD = 1e-12  # equal differences of shares of a few pairs are frequent, by chance
_BLOCK = 256  # resamples per block: bounds the memory


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    Attributes:
        value: Value over all pairs, or the mean over seeds.
        low: Lower end; NaN if there are too few clusters or seeds, or all seeds are equal.
        high: Upper end.
        n: Number of seeds, or of clusters in which the metric applies to a pair.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Return whether a difference is significant."""
        return self.low > 0 or self.high < 0


def means_of(counts: Floats) -> Floats:
    """Return the means from rows of [sum, number], `[R, 2]` to `[R]`; NaN of no number."""
    sums, numbers = counts.T
    means: Floats = np.full(len(counts), math.nan)
    np.divide(sums, numbers, out=means, where=numbers != 0)
    return means


def cluster_bootstrap(
    counts: ArrayLike,
    clusters: Sequence[Hashable],
    values: Values = means_of,
    *,
    seed: int,
    n_resamples: int = 2000,
) -> Interval:
    """Return a metric with its percentile interval under resampling of clusters.

    Args:
        counts: A row of summable numbers per pair, `[N, C]`; `[sum, number]` for a mean.
        clusters: The cluster of each pair, N labels.
        values: Returns the values from rows of summed counts.
        seed: Seed of the resampling.
        n_resamples: R.
    """
    sums = _cluster_sums(counts, clusters)  # [G, C]
    drawn = _drawn(len(sums), seed, n_resamples)
    totals = np.concatenate([times @ sums for times in drawn])  # [R, C]
    (whole,) = values(sums.sum(axis=0, keepdims=True))
    return _percentiles(float(whole), values(totals), int(sums.any(axis=1).sum()))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's interval of a share of `n` clusters.

    For a share of 0 or 1, where every resample is equal; Wilson (1927), Probable Inference, the Law
    of Succession, and Statistical Inference.
    """
    interval = stats.binomtest(round(share * n), n).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean over seeds with Student's t interval, n - 1 degrees of freedom.

    One seed has no interval, nor have equal values: as with a rare event, they show no spread.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1 or _are_equal(values):
        return Interval(mean, math.nan, math.nan, n)
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    return Interval(mean, mean - half, mean + half, n)


def unpaired_over_seeds(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Return the mean of B minus that of A over other seeds, with Welch's t interval.

    Welch (1947), The Generalization of "Student's" Problem when Several Different Population
    Variances are Involved. Each has at least two values.
    """
    value, n = math.fsum(b) / len(b) - math.fsum(a) / len(a), min(len(a), len(b))
    if _are_equal(a) and _are_equal(b):
        return Interval(value, math.nan, math.nan, n)
    # Not `scipy.stats.ttest_ind`, which warns of equal values.
    # Squared standard errors.
    squares = [float(np.var(values, ddof=1)) / len(values) for values in (a, b)]
    parts = (square**2 / (len(seeds) - 1) for square, seeds in zip(squares, (a, b), strict=True))
    freedom = sum(squares) ** 2 / sum(parts)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(sum(squares))
    return Interval(value, value - half, value + half, n)


def detectable_difference(differences: Sequence[Sequence[float]], n_seeds: int) -> float:
    """Return the smallest true difference that a paired t-test over seeds detects.

    The standard deviation of a paired difference is pooled over the comparisons at hand.

    Args:
        differences: For each comparison the differences of its shared seeds; those of fewer than
            two seeds are left out.
        n_seeds: Number of seeds of the test, at least 2.

    Returns:
        The difference; NaN if no comparison has two seeds.
    """
    known = [np.asarray(values, dtype=float) for values in differences if len(values) > 1]
    freedom = sum(len(values) - 1 for values in known)
    if not freedom or n_seeds < 2:
        return math.nan
    spread = math.sqrt(sum(float(np.var(values)) * len(values) for values in known) / freedom)
    bound = float(stats.t.ppf((1 + LEVEL) / 2, n_seeds - 1))
    # The test statistic has a noncentral t distribution; the far tail adds nothing at this power.
    shift = optimize.brentq(
        lambda delta: float(stats.nct.sf(bound, n_seeds - 1, delta)) - POWER, 0.0, 100.0
    )
    return float(shift) * spread / math.sqrt(n_seeds)


def _are_equal(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= _NO_SPREAD  # the variance of equal floats may exceed 0


def _cluster_sums(counts: ArrayLike, clusters: Sequence[Hashable]) -> Floats:
    """Sum the counts per cluster, in the order of first occurrence, `[G, C]`."""
    table = np.asarray(counts, dtype=float)
    numbers: dict[Hashable, int] = {}
    of_pair = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    sums = np.zeros((len(numbers), table.shape[1]))
    np.add.at(sums, of_pair, table)
    return sums


@lru_cache(maxsize=2)  # the metrics of a table share the resamples of its clusters
def _drawn(n: int, seed: int, n_resamples: int) -> list[NDArray[np.uint16]]:
    """Return how often each of `n` clusters is drawn with replacement, in blocks of resamples.

    A block is `[<= _BLOCK, G]`.
    """
    rng = np.random.default_rng(seed)
    blocks = []
    for first in range(0, n_resamples, _BLOCK):
        rows = min(_BLOCK, n_resamples - first)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        blocks.append(times.astype(np.uint16))
    return blocks


def _percentiles(value: float, samples: Floats, n: int) -> Interval:
    """Return the percentile interval; resamples without a value are left out."""
    known = samples[np.isfinite(samples)]
    if n < 2 or not len(known):
        return Interval(value, math.nan, math.nan, n)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), n)
