"""Baselines without training: retrieval, a constant program, the best copy, another author.

Each is called as `f(train, test, **settings)` and returns one program per test pair, which the same
code scores as the programs of a model.

Shape letters: N training programs, M test pairs, F features.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from en2py.data.duplicates import core_description
from en2py.data.pairs import Pair
from en2py.data.syntax import ast_text
from en2py.evaluation.metrics.bleu import NGRAM_ORDER, Ngram, bleu_value, ngrams
from en2py.evaluation.metrics.code_tokens import layout_tokens
from en2py.ranges import Fraction

_ROWS = 256  # test pairs per block: bounds the memory of the similarity matrix
_WORDS = r"\w+|[^\w\s]"

MACHINE_MADE = frozenset({"tasks"})  # sources whose pairs have no author
# What a report states about baselines.
ABOUT = {
    "retrieval": "the program of the nearest training description by TF-IDF",
    "bm25": "the program of the nearest training description by Okapi BM25",
    "constant": "one training program for all descriptions",
    "nearest_by_bleu": "sees the reference and takes the training program with the highest BLEU "
    "against it: close to the highest BLEU of copying, but no bound of any other metric",
    "second_human": "another author's program for the same task",
}

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
        TfidfVectorizer(ngram_range=tuple(words), token_pattern=_WORDS, sublinear_tf=True),
        TfidfVectorizer(ngram_range=tuple(characters), analyzer="char_wb", sublinear_tf=True),
    )
    known, queried = _descriptions(train), _descriptions(test)
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
    vectorizer = CountVectorizer(token_pattern=_WORDS)
    counts = vectorizer.fit_transform(_descriptions(train)).tocsr().astype(float)  # [N, F]
    queries = vectorizer.transform(_descriptions(test)).tocsr()  # [M, F]
    n_having = np.bincount(counts.indices, minlength=counts.shape[1])  # [F]
    idf = np.log1p((len(train) - n_having + 0.5) / (n_having + 0.5))
    lengths = np.asarray(counts.sum(axis=1)).ravel()  # [N]
    penalty = k1 * (1 - b + b * lengths / max(1.0, lengths.mean()))
    per_entry = np.repeat(penalty, np.diff(counts.indptr))
    counts.data = idf[counts.indices] * counts.data * (k1 + 1) / (counts.data + per_entry)
    return _nearest(train, _products(queries, counts))


def constant(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return one program for all pairs: the training program with the best training BLEU.

    Its scores show what a metric awards without any input.
    """
    tokens = [layout_tokens(pair.code) for pair in train]
    # min(a, b) is the number of t with t <= a and t <= b. So the matches of a program with all
    # others are a sum over its (n-gram, t) of how many programs have the n-gram t times or more.
    having: Counter[tuple[Ngram, int]] = Counter()
    for program in tokens:
        having.update(_occurrences(program))
    n_wanted = sum(map(len, tokens))

    def bleu(place: int) -> float:
        correct, total = [0] * NGRAM_ORDER, [0] * NGRAM_ORDER
        for occurrence in _occurrences(tokens[place]):
            order = len(occurrence[0]) - 1
            correct[order] += having[occurrence]
            total[order] += len(train)
        return bleu_value([len(tokens[place]) * len(train), n_wanted, *correct, *total])

    best = max(range(len(train)), key=bleu)
    return [train[best].code] * len(test)


def nearest_by_bleu(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return the training program with the highest BLEU against the reference, which it sees.

    BLEU of the single pair, with one added to matches and totals above single tokens (Lin and Och,
    2004). No system that copies whole training programs has a higher BLEU, up to the difference
    between BLEU per pair and corpus BLEU. Other metrics are not bounded: a program with a lower
    BLEU may behave as the reference does.
    """
    codes = [layout_tokens(pair.code) for pair in train]
    references = [layout_tokens(pair.code) for pair in test]
    vectorizer = CountVectorizer(analyzer=_occurrences, binary=True, dtype=np.float64)
    have, want = vectorizer.fit_transform(codes).tocsr(), vectorizer.transform(references).tocsr()
    orders = np.empty(have.shape[1], dtype=int)
    for (ngram, _), place in vectorizer.vocabulary_.items():
        orders[place] = len(ngram)
    have_n = [have[:, orders == n] for n in range(1, NGRAM_ORDER + 1)]
    want_n = [want[:, orders == n] for n in range(1, NGRAM_ORDER + 1)]
    lengths = np.array([max(1, len(code)) for code in codes], dtype=float)  # [N]

    def similarities() -> Iterator[Similarities]:
        for first in range(0, len(test), _ROWS):
            rows = slice(first, first + _ROWS)
            log_bleu = 0.0
            for n in range(1, NGRAM_ORDER + 1):
                added = 0 if n == 1 else 1
                matches = (want_n[n - 1][rows] @ have_n[n - 1].T).toarray() + added  # [rows, N]
                total = np.maximum(lengths - n + 1, 0) + added
                log_bleu = log_bleu + np.log(np.maximum(matches, 1e-9) / total) / NGRAM_ORDER
            longer = np.array([[len(code)] for code in references[rows]]) / lengths
            yield log_bleu + np.minimum(0, 1 - longer)

    return _nearest(train, similarities())


def second_human(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return another person's code for the same description.

    Returns:
        The first program with another syntax tree, from the training split or else the test split;
        an empty text if there is none, and such pairs must not be scored. Pairs that a machine made
        have none.
    """
    written: dict[str, dict[str | None, str]] = {}  # task -> tree -> the first code with it
    for pair in (*train, *test):
        if pair.source in MACHINE_MADE:
            continue
        task = written.setdefault(core_description(pair.description), {})
        task.setdefault(ast_text(pair.code), pair.code)

    def other(pair: Pair) -> str:
        task = core_description(pair.description)
        trees = written.get(task, {}) if task else {}
        if pair.source in MACHINE_MADE:
            return ""
        return next((code for tree, code in trees.items() if tree != ast_text(pair.code)), "")

    return [other(pair) for pair in test]


def _descriptions(pairs: Sequence[Pair]) -> list[str]:
    return [pair.description.lower() for pair in pairs]


def _products(queries: sparse.csr_matrix, features: sparse.csr_matrix) -> Iterator[Similarities]:
    for first in range(0, queries.shape[0], _ROWS):
        yield (queries[first : first + _ROWS] @ features.T).toarray()  # [rows, N]


def _nearest(train: Sequence[Pair], similarities: Iterator[Similarities]) -> list[str]:
    return [train[place].code for rows in similarities for place in rows.argmax(axis=1)]


def _occurrences(tokens: Sequence[str]) -> list[tuple[Ngram, int]]:
    """Return each n-gram with 1, 2, ... up to its number of occurrences."""
    return [(ngram, t) for ngram, count in ngrams(tokens).items() for t in range(1, count + 1)]
