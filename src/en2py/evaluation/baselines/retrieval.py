"""Retrieval: the program of the nearest training description.

Shape letters: N training programs, M test pairs, F features.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import NonNegativeFloat
from sklearn.feature_extraction.text import CountVectorizer

from en2py.data.neighbours import WORDS, Similarities, TfidfIndex, products
from en2py.data.pairs import Pair
from en2py.ranges import Fraction


def retrieval(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return the code of the nearest training description by TF-IDF.

    The similarity is the mean of two cosines: over n-grams of words, and over n-grams of
    characters within words. The first of equal training pairs is taken.
    """
    return _nearest(train, TfidfIndex(descriptions(train)).similarities(descriptions(test)))


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
    return _nearest(train, products(queries, counts))


def descriptions(pairs: Sequence[Pair]) -> list[str]:
    """Return the descriptions in lower case."""
    return [pair.description.lower() for pair in pairs]


def _nearest(train: Sequence[Pair], similarities: Iterator[Similarities]) -> list[str]:
    return [train[place].code for rows in similarities for place in rows.argmax(axis=1)]
