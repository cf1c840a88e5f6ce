"""Candidates: the nearest training programs of each query, and the choice among them.

The choice is the candidate with the highest expected value under weights of all candidates (minimum
Bayes risk; Kumar and Byrne, 2004). Whatever is learned for it is learned from training pairs as
queries, whose own near-duplicates are left out of their candidates, as a leak-free split leaves
them out for validation and test pairs.

Shape letters: Q queries, K candidates, N training programs, F features.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from en2py.data.duplicates import fingerprint, group_near_duplicates
from en2py.data.neighbours import ROWS
from en2py.data.pairs import Pair, evenly_spaced
from en2py.evaluation.baselines.program_bleu import (
    ProgramNgrams,
    bleu_against,
    bleu_among,
    program_ngrams,
)
from en2py.evaluation.baselines.similarities import Similarity, View

MAX_QUERIES = 2_500  # training pairs used as queries: bounds the time on large data

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Candidates:
    """The nearest training programs of queries.

    Attributes:
        places: Their positions among the training programs, nearest first, [Q, K]; in a mixture
            those of the source of the queries first.
        features: Their similarities to the query, [Q, K, F].
        are_valid: False for near-duplicates of a training query, [Q, K].
        bleu: `bleu[q, r, h]`: BLEU of candidate h against candidate r, 0 to 1, [Q, K, K].
    """

    places: Places
    features: Floats
    are_valid: NDArray[np.bool_]
    bleu: Floats

    def weights(self, coefficients: Sequence[float] | Floats, temperature: float = 1.0) -> Floats:
        """Return the softmax of a linear function of the features, [Q, K]."""
        logits = self.features @ np.asarray(coefficients) / temperature
        return softmax(np.where(self.are_valid, logits, -np.inf))

    def best_codes(self, train: Sequence[Pair], values: Floats) -> list[str]:
        """Return the program of the candidate with the highest value, the nearest of equal ones."""
        places = np.take_along_axis(self.places, values.argmax(axis=1)[:, None], axis=1)[:, 0]
        return [train[place].code for place in places]


@dataclass(frozen=True)
class TrainingQueries:
    """Evenly spaced training pairs as queries.

    Attributes:
        places: Their positions among the training pairs, [Q].
        candidates: Their candidates.
        bleu: BLEU of each candidate against the program of its query, 0 to 1, [Q, K].
    """

    places: Places
    candidates: Candidates
    bleu: Floats


def find_candidates(
    train: Sequence[Pair],
    test: Sequence[Pair],
    similarities: Sequence[Similarity],
    k: int,
    sources: Collection[str] = (),
) -> Candidates:
    """Return the candidates of test pairs, of which only the descriptions are read.

    The sum of the first two similarities decides which pairs are near. If sources are given, a
    mixture has k candidates from these and k from the others.
    """
    ngrams, _ = program_ngrams([pair.code for pair in train], [])
    views = [similarity(train, test) for similarity in similarities]
    return _nearest(views, k, ngrams, _parts(train, sources))


def _parts(train: Sequence[Pair], sources: Collection[str]) -> list[Places]:
    """Return the places of training pairs from these sources, and of the others; no empty list."""
    are_own = np.array([pair.source in sources for pair in train])
    return [places for is_own in (True, False) if len(places := np.flatnonzero(are_own == is_own))]


def find_training_candidates(
    train: Sequence[Pair],
    similarities: Sequence[Similarity],
    k: int,
    sources: Collection[str] = (),
) -> TrainingQueries:
    """Return training pairs as queries, with the candidates that are no near-duplicates of them.

    The sources are those of the test pairs. In a mixture, queries are taken from the same ones:
    what is right for them may be wrong for the descriptions of another source.
    """
    ngrams, _ = program_ngrams([pair.code for pair in train], [])
    parts = _parts(train, sources)
    queries = parts[0][evenly_spaced(len(parts[0]), MAX_QUERIES)]
    groups = np.array(group_near_duplicates([fingerprint(pair) for pair in train]))
    asked = [train[place] for place in queries.tolist()]
    views = [similarity(train, asked) for similarity in similarities]
    found = _nearest(views, k, ngrams, parts, excluded=groups == groups[queries, None])
    return TrainingQueries(queries, found, bleu_against(ngrams, found.places, ngrams.rows(queries)))


def _nearest(
    views: Sequence[View],
    k: int,
    ngrams: ProgramNgrams,
    parts: Sequence[Places],
    excluded: NDArray[np.bool_] | None = None,
) -> Candidates:
    """Return the nearest training programs of each part, those that are excluded last."""
    places, features, are_valid = [], [], []
    for first in range(0, views[0][0].shape[0], ROWS):
        rows = slice(first, first + ROWS)
        values = np.stack([(queries[rows] @ known.T).toarray() for queries, known in views])
        similarity = values[0] + values[1]  # [rows, N]
        if excluded is not None:
            similarity = np.where(excluded[rows], -1.0, similarity)
        order = np.concatenate(
            [
                part[np.argsort(-similarity[:, part], axis=1, kind="stable")[:, :k]]
                for part in parts
            ],
            axis=1,
        )
        places.append(order)
        features.append(np.take_along_axis(values, order[None], axis=2).transpose(1, 2, 0))
        are_valid.append(np.take_along_axis(similarity, order, axis=1) >= 0)
    found = np.concatenate(places)
    return Candidates(
        found, np.concatenate(features), np.concatenate(are_valid), bleu_among(ngrams, found)
    )


def softmax(logits: Floats) -> Floats:
    """Return the softmax over the last axis; zeros where no logit is finite."""
    largest = logits.max(axis=-1, keepdims=True)
    powers = np.exp(logits - np.where(np.isfinite(largest), largest, 0.0))
    return np.asarray(powers / np.maximum(powers.sum(axis=-1, keepdims=True), 1e-30))


def expected(values: NDArray[np.generic], weights: Floats) -> Floats:
    """Return the sum over r of `values[q, r, h]` with the weights of r, [Q, K]."""
    return np.asarray(np.matmul(weights[:, None, :], values)[:, 0])
