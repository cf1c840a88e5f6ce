"""Choices by expected BLEU: under a fixed distribution, and under a learned one.

The learned one is a log-linear model of eight similarities, and of the source in a mixture.

Shape letters: Q queries, K candidates, F features.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from scipy.optimize import minimize

from en2py.data.pairs import Pair
from en2py.evaluation.baselines import similarities
from en2py.evaluation.baselines.candidates import (
    Candidates,
    Floats,
    expected,
    find_candidates,
    find_training_candidates,
)

FEATURES = (
    similarities.words,
    similarities.characters,
    similarities.core_words,
    similarities.core_characters,
    similarities.code_characters,
    similarities.topics,
    similarities.covered_by_description,
    similarities.covered_by_code,
    similarities.same_source,
)
_DECAY = 1e-4  # of squared coefficients, which keeps them finite
_SMALLEST = 1e-4  # added inside of logarithms


def consensus(
    train: Sequence[Pair],
    test: Sequence[Pair],
    *,
    neighbours: PositiveInt = 50,
    temperature: PositiveFloat = 0.2,
) -> list[str]:
    """Return the program with the highest expected BLEU among the nearest training programs.

    Each of them is wanted with probability softmax(similarity / temperature); the similarity is
    the mean of the two cosines of `retrieval`.

    Args:
        train: Training pairs.
        test: Pairs with the queries.
        neighbours: Number of nearest programs.
        temperature: Lower values trust the nearest ones more.
    """
    found = find_candidates(train, test, [similarities.words, similarities.characters], neighbours)
    weights = found.weights([0.5, 0.5], temperature)
    return found.best_codes(train, expected(found.bleu, weights))


def ranker(
    train: Sequence[Pair],
    test: Sequence[Pair],
    *,
    neighbours: PositiveInt = 50,
    temperature: PositiveFloat = 3.0,
) -> list[str]:
    """Return the program with the highest expected BLEU under a learned distribution.

    The probability of a candidate is the softmax of a linear function of its similarities to the
    query. Its coefficients are learned from training pairs as queries, without their
    near-duplicates.

    Args:
        train: Training pairs.
        test: Pairs with the queries.
        neighbours: Number of candidates.
        temperature: Divides the linear function; values above 1 trust it less.
    """
    sources = {pair.source for pair in test}
    queries = find_training_candidates(train, FEATURES, neighbours, sources)
    coefficients = fit(queries.candidates, [(queries.bleu, 1.0)])
    found = find_candidates(train, test, FEATURES, neighbours, sources)
    weights = found.weights(coefficients, temperature)
    return found.best_codes(train, expected(found.bleu, weights))


def fit(candidates: Candidates, goals: Sequence[tuple[Floats, float]]) -> Floats:
    """Return the coefficients that maximize the expected value of a candidate, [F].

    Maximized is the mean over queries of log(sum over candidates of probability times value), so
    that a query counts by how its candidates compare, not by how good the best one is.

    Args:
        candidates: The candidates of training queries.
        goals: Values of the candidates, [Q, K], and the weight of this goal. Queries of which all
            candidates have value 0 do not count.
    """
    n_features = candidates.features.shape[2]
    counted = [(values, weight, values.any(axis=1)) for values, weight in goals]

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        weights = candidates.weights(coefficients)
        total, slope = _DECAY * float(coefficients @ coefficients), 2 * _DECAY * coefficients
        for values, weight, counts in counted:
            if counts.any():
                share = weight / counts.sum()
                mean = (weights * values).sum(axis=1, keepdims=True)[counts]
                total -= share * float(np.log(mean + _SMALLEST).sum())
                change = weights[counts] * (values[counts] - mean) / (mean + _SMALLEST)
                slope = slope - share * np.einsum("qk,qkf->f", change, candidates.features[counts])
        return total, slope

    found = minimize(loss, np.zeros(n_features), jac=True, method="L-BFGS-B")
    return np.asarray(found.x)
