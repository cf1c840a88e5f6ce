"""Near training pairs, found by their descriptions, as a part of sources.

A source is then `description <bos> description of the neighbour <bos> its code`: BOS, which no
description has, is the separator. In training one of the k nearest pairs is drawn in each epoch.
The neighbours of a training pair are of other groups of near-duplicates than itself, as those of
validation and test pairs are by a leak-free split.

Shape letters: N training pairs, M queries, F features.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from scipy import sparse

from en2py.data.pairs import Pair
from en2py.data.prepare import TokenizedPair
from en2py.data.vocab import BOS
from en2py.ranges import Length, ProperFraction

ROWS = 256  # queries per block: bounds the memory of the similarity matrix
WORDS = r"\w+|[^\w\s]"
# What cosines of TF-IDF are over: words and pairs of words; 3 to 5 characters within words.
WORD_NGRAMS: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": WORDS, "sublinear_tf": True}
CHARACTER_NGRAMS: dict[str, Any] = {
    "ngram_range": (3, 5),
    "analyzer": "char_wb",
    "sublinear_tf": True,
}

Similarities = NDArray[np.float64]


class TfidfIndex:
    """Similarity of descriptions: cosines over n-grams of words, and of characters within words."""

    def __init__(self, known: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizers = TfidfVectorizer(**WORD_NGRAMS), TfidfVectorizer(**CHARACTER_NGRAMS)
        features = [vectorizer.fit_transform(known) for vectorizer in self._vectorizers]
        self._known = sparse.hstack(features).tocsr()  # [N, F]

    def similarities(self, queries: Sequence[str]) -> Iterator[Similarities]:
        """Yield the sum of both cosines to each known description, `[rows, N]`, in blocks."""
        features = [vectorizer.transform(queries) for vectorizer in self._vectorizers]
        return products(sparse.hstack(features).tocsr(), self._known)


def products(queries: sparse.csr_matrix, known: sparse.csr_matrix) -> Iterator[Similarities]:
    """Yield the products of queries `[M, F]` and known texts `[N, F]` in blocks `[rows, N]`."""
    for first in range(0, queries.shape[0], ROWS):
        yield (queries[first : first + ROWS] @ known.T).toarray()


def nearest_of_other_groups(
    train: Sequence[Pair], groups: Sequence[int], k: int
) -> list[list[int]]:
    """Return the places of the k nearest pairs of each training pair, nearest first.

    Pairs of one group of near-duplicates are no neighbours, so a pair may have fewer.
    """
    texts, group_of = [pair.description for pair in train], np.array(groups)
    found: list[list[int]] = []
    for values in TfidfIndex(texts).similarities(texts):
        of_rows = group_of[len(found) : len(found) + len(values), None]
        values[of_rows == group_of] = -1
        best = np.sort(np.argpartition(-values, min(k, len(train)) - 1)[:, :k])
        for row, places in zip(values, best, strict=True):
            ranked = places[np.argsort(-row[places], kind="stable")]
            found.append([int(place) for place in ranked if row[place] >= 0])
    assert all(group_of[i] != group_of[j] for i, near in enumerate(found) for j in near)
    return found


class Neighbours:
    """The neighbours of descriptions.

    Args:
        train: The training pairs with their tokens.
        near: The places of the k nearest of each, see `nearest_of_other_groups`.
        k: Number of neighbours of a training pair, of which one is drawn in each epoch.
        omit: Share of training sources without neighbour, so that the model works without one.
        max_len: Most tokens of a neighbour with its separators; a longer one is cut.
    """

    def __init__(
        self,
        train: Sequence[TokenizedPair],
        near: Sequence[Sequence[int]],
        *,
        k: PositiveInt,
        omit: ProperFraction,
        max_len: Length,
    ) -> None:
        self.train, self.k, self.omit, self.max_len = train, k, omit, max_len
        self._index = TfidfIndex([item.pair.description for item in train])
        pairs = (item.pair for item in train)
        self._near = {
            (p.description, p.code): places for p, places in zip(pairs, near, strict=True)
        }

    def nearest(self, descriptions: Sequence[str]) -> list[int]:
        """Return the place of the training pair with the nearest description, for each of some."""
        if not descriptions:
            return []
        blocks = self._index.similarities(descriptions)
        return [int(place) for rows in blocks for place in rows.argmax(axis=1)]

    def near(self, pairs: Sequence[Pair]) -> list[Sequence[int]]:
        """Return the places of each pair's neighbours: k of a training pair, one of any other."""
        known = [self._near.get((pair.description, pair.code)) for pair in pairs]
        others = [p.description for p, places in zip(pairs, known, strict=True) if places is None]
        found = iter(self.nearest(others))
        return [[next(found)] if places is None else places for places in known]

    def tokens(self, place: int) -> list[str]:
        """Return what a neighbour adds to the tokens of a source."""
        item = self.train[place]
        return [BOS, *item.src, BOS, *item.tgt][: self.max_len]
