import math
from functools import partial

import numpy as np
import pytest

from en2py.evaluation.aggregation import values_of
from en2py.evaluation.metrics.program_metrics import score
from en2py.evaluation.statistics import (
    cluster_bootstrap,
    detectable_difference,
    means_of,
    over_seeds,
    unpaired_over_seeds,
)


def ones(answers):
    return [[float(answer), 1.0] for answer in answers]


def simulated(rng, n_clusters, size):
    """Answers that are right or wrong by clusters, nine times in ten; their true mean is 1/2."""
    rights = rng.random(n_clusters) < 0.5
    flips = rng.random((n_clusters, size)) < 0.1
    answers = np.where(flips, ~rights[:, None], rights[:, None]).ravel()
    return ones(answers), np.repeat(np.arange(n_clusters), size).tolist()


def test_equal_values_have_no_interval():
    interval = over_seeds([0.1, 0.1, 0.1 + 1e-16])
    assert math.isnan(interval.low) and math.isnan(interval.high) and not interval.excludes_zero


def test_interval_of_a_share_matches_the_binomial_interval():
    # 36 of 100 independent pairs: 0.36 -+ 1.96 * sqrt(0.36 * 0.64 / 100) = 0.266 .. 0.454
    counts = ones([1] * 36 + [0] * 64)
    interval = cluster_bootstrap(counts, range(100), seed=0, n_resamples=4000)
    assert interval.value == 0.36
    assert interval.low == pytest.approx(0.266, abs=0.012)
    assert interval.high == pytest.approx(0.454, abs=0.012)
    assert interval.n == 100


def test_repeating_every_pair_in_its_cluster_keeps_the_interval():
    counts = ones([1, 0, 0, 1, 1, 0, 0, 0])
    once = cluster_bootstrap(counts, range(8), seed=1)
    thrice = cluster_bootstrap(counts * 3, [*range(8)] * 3, seed=1)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


@pytest.mark.slow
def test_intervals_have_their_nominal_coverage():
    rng = np.random.default_rng(0)
    held = {"clusters": 0, "pairs": 0}
    for _ in range(200):
        counts, clusters = simulated(rng, n_clusters=60, size=8)
        for name, labels in (("clusters", clusters), ("pairs", range(len(counts)))):
            interval = cluster_bootstrap(counts, labels, seed=0, n_resamples=300)
            held[name] += interval.low <= 0.5 <= interval.high
    assert 0.90 <= held["clusters"] / 200 <= 0.985
    assert held["pairs"] / 200 < 0.75  # what clusters are there to prevent


def test_the_interval_of_bleu_comes_from_summed_counts():
    codes = [f"x{i} = f({i}) + {i % 3}" for i in range(30)]
    outputs = [code.replace("f", "g") if i % 2 else code for i, code in enumerate(codes)]
    scores = score(outputs, codes)
    interval = cluster_bootstrap(
        scores.counts["bleu"], range(30), partial(values_of, "bleu"), seed=0
    )
    assert interval.value == pytest.approx(scores.values["bleu"])
    assert interval.low < interval.value < interval.high < 100


def test_pairs_without_counts_are_left_out():
    counts = [*ones([1, 1, 0, 0]), [0.0, 0.0], [0.0, 0.0]]
    interval = cluster_bootstrap(counts, range(6), seed=0)
    assert interval.value == 0.5
    assert math.isnan(means_of(np.zeros((1, 2))).item())


def test_same_seed_same_interval():
    counts = ones([0.12, 0.31, 0.43, 0.84, 0.55])
    assert cluster_bootstrap(counts, "abcde", seed=3) == cluster_bootstrap(counts, "abcde", seed=3)
    assert cluster_bootstrap(counts, "abcde", seed=3) != cluster_bootstrap(counts, "abcde", seed=4)


def test_one_cluster_has_no_interval():
    interval = cluster_bootstrap(ones([1, 0]), ["a", "a"], seed=0)
    assert interval.value == 0.5
    assert math.isnan(interval.low) and math.isnan(interval.high)
    assert not interval.excludes_zero


def test_mean_over_seeds_has_the_t_interval():
    # Mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.3027
    interval = over_seeds([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert (interval.value, interval.low, interval.high) == pytest.approx((2, 2 - half, 2 + half))
    assert interval.n == 3


def test_one_seed_has_no_interval():
    interval = over_seeds([0.5])
    assert interval.value == 0.5
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_detectable_difference_is_detected_in_four_of_five_studies():
    rng = np.random.default_rng(0)
    size = detectable_difference([[-1.0, 1.0], [-1.0, 1.0]], 3)  # a spread of sqrt(2)
    studies = rng.normal(loc=size, scale=math.sqrt(2), size=(4000, 3))
    share = np.mean([over_seeds(list(values)).excludes_zero for values in studies])
    assert share == pytest.approx(0.8, abs=0.02)


def test_more_seeds_detect_smaller_differences_and_one_seed_none():
    own = [[0.1, 0.3, 0.2], [0.0]]
    sizes = [detectable_difference(own, n) for n in (2, 3, 10)]
    assert sizes == sorted(sizes, reverse=True)
    assert math.isnan(detectable_difference([[0.1], []], 3))


def test_means_over_other_seeds_have_the_interval_of_welch():
    # Variances 1 / 3 and 16 / 3, by Welch and Satterthwaite 2.2491 degrees of freedom.
    difference = unpaired_over_seeds([1.0, 2.0, 3.0], [10.0, 14.0, 18.0])
    half = 3.87686 * math.sqrt(17 / 3)
    assert (difference.value, difference.n) == (12.0, 3)
    assert (difference.low, difference.high) == pytest.approx((12 - half, 12 + half), rel=1e-4)
    equal = unpaired_over_seeds([0.1] * 3, [0.3] * 3)  # numpy's variance of [0.1] * 3 is above 0
    assert math.isnan(equal.low) and math.isnan(equal.high) and not equal.excludes_zero
