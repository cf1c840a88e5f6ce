"""Retrieval: the program of the nearest training description.

Shape letters: N training programs, M test pairs, F features.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from en2py.data.pairs import Pair
from en2py.ranges import Fraction

ROWS = 256  # test pairs per block: bounds the memory of the similarity matrix
WORDS = r"\w+|[^\w\s]"

Similarities = NDArray[np.float64]


def retrieval(
    train: Sequence[Pair],
    test: Sequence[Pair],
    *,
    words: Sequence[int] = (1, 2),
    characters: Sequence[int] = (3, 5),
) -> list[str]:
    """Return the code of the nearest training description by TF-IDF.

    The similarity is the mean of two cosines: over n-grams of words, and over n-grams of
    characters within words. The first of equal training pairs is taken.

    Args:
        train: Training pairs.
        test: Pairs with the queries.
        words: Shortest and longest n-gram of words.
        characters: Shortest and longest n-gram of characters.
    """
    vectorizers = (
        TfidfVectorizer(ngram_range=tuple(words), token_pattern=WORDS, sublinear_tf=True),
        TfidfVectorizer(ngram_range=tuple(characters), analyzer="char_wb", sublinear_tf=True),
    )
    known, queried = descriptions(train), descriptions(test)
    features = sparse.hstack([v.fit_transform(known) for v in vectorizers]).tocsr()  # [N, F]
    queries = sparse.hstack([v.transform(queried) for v in vectorizers]).tocsr()  # [M, F]
    return _nearest(train, _products(queries, features))


def bm25(
    train: Sequence[Pair], test: Sequence[Pair], *, k1: NonNegativeFloat = 1.5, b: Fraction = 0.75
) -> list[str]:
    """Return the code of the best training description by Okapi BM25 over words.

    Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond",
    equation 3.15, with the idf that cannot be negative.

    Args:
        train: Training pairs.
        test: Pairs with the queries.
        k1: Saturation of term frequency.
        b: Length normalization, 0 to 1.
    """
    vectorizer = CountVectorizer(token_pattern=WORDS)
    counts = vectorizer.fit_transform(descriptions(train)).tocsr().astype(float)  # [N, F]
    queries = vectorizer.transform(descriptions(test)).tocsr()  # [M, F]
    n_having = np.bincount(counts.indices, minlength=counts.shape[1])  # [F]
    idf = np.log1p((len(train) - n_having + 0.5) / (n_having + 0.5))
    lengths = np.asarray(counts.sum(axis=1)).ravel()  # [N]
    penalty = k1 * (1 - b + b * lengths / max(1.0, lengths.mean()))
    per_entry = np.repeat(penalty, np.diff(counts.indptr))
    counts.data = idf[counts.indices] * counts.data * (k1 + 1) / (counts.data + per_entry)
    return _nearest(train, _products(queries, counts))


def descriptions(pairs: Sequence[Pair]) -> list[str]:
    """Return the descriptions in lower case."""
    return [pair.description.lower() for pair in pairs]


def _products(queries: sparse.csr_matrix, features: sparse.csr_matrix) -> Iterator[Similarities]:
    for first in range(0, queries.shape[0], ROWS):
        yield (queries[first : first + ROWS] @ features.T).toarray()  # [rows, N]


def _nearest(train: Sequence[Pair], similarities: Iterator[Similarities]) -> list[str]:
    return [train[place].code for rows in similarities for place in rows.argmax(axis=1)]
