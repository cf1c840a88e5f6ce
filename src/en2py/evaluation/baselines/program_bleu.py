"""BLEU of single pairs of programs, for many pairs at once.

Shape letters: H hypotheses, R references, F n-grams with their occurrences, Q queries, K candidates
of a query.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from en2py.evaluation.metrics.bleu import NGRAM_ORDER, Ngram, ngrams
from en2py.evaluation.metrics.code_tokens import layout_tokens


@dataclass(frozen=True)
class ProgramNgrams:
    """The n-grams of programs, a row per program.

    Attributes:
        by_order: For each order, a 1 for the first, second, ... occurrence of an n-gram, [N, F].
        lengths: Number of tokens, [N].
    """

    by_order: list[sparse.csr_matrix]
    lengths: NDArray[np.float64]

    def rows(self, places: slice | Sequence[int] | NDArray[np.intp]) -> "ProgramNgrams":
        """Return the rows of some programs."""
        return ProgramNgrams([matrix[places] for matrix in self.by_order], self.lengths[places])


def program_ngrams(
    hypotheses: Sequence[str], references: Sequence[str]
) -> tuple[ProgramNgrams, ProgramNgrams]:
    """Return the n-grams of two lists of programs; those of references alone can match nothing."""
    vectorizer = CountVectorizer(analyzer=occurrences, binary=True, dtype=np.float64)
    tokens = [[layout_tokens(code) for code in codes] for codes in (hypotheses, references)]
    vectorizer.fit([*tokens[0], [""]])  # no token is empty, and no vocabulary may be
    matrices = [vectorizer.transform(programs).tocsr() for programs in tokens]
    orders = np.empty(matrices[0].shape[1], dtype=int)
    for (ngram, _), place in vectorizer.vocabulary_.items():
        orders[place] = len(ngram)
    first, second = (
        ProgramNgrams(
            [matrix[:, orders == n] for n in range(1, NGRAM_ORDER + 1)],
            np.array([len(code) for code in programs], dtype=float),
        )
        for matrix, programs in zip(matrices, tokens, strict=True)
    )
    return first, second


def log_bleu(hypotheses: ProgramNgrams, references: ProgramNgrams) -> NDArray[np.float64]:
    """Return the logarithm of BLEU, 0 to 1, of every hypothesis against every reference, [R, H].

    One is added to matches and totals above single tokens (Lin and Och, 2004, "ORANGE").
    """
    lengths = np.maximum(1, hypotheses.lengths)
    value = np.zeros((len(references.lengths), len(lengths)))
    for n in range(1, NGRAM_ORDER + 1):
        added = 0 if n == 1 else 1
        matches = references.by_order[n - 1] @ hypotheses.by_order[n - 1].T
        total = np.maximum(lengths - n + 1, 0) + added
        value += np.log(np.maximum(matches.toarray() + added, 1e-9) / total) / NGRAM_ORDER
    value += np.minimum(0, 1 - references.lengths[:, None] / lengths)
    return value


def bleu_among(programs: ProgramNgrams, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return `bleu[q, r, h]`: BLEU, 0 to 1, of candidate h against candidate r, [Q, K, K].

    The candidates of a query are places among the programs, [Q, K].
    """
    each = (programs.rows(candidates) for candidates in places)
    return np.stack([np.exp(log_bleu(ngrams, ngrams)) for ngrams in each])


def bleu_against(
    programs: ProgramNgrams, places: NDArray[np.intp], references: ProgramNgrams
) -> NDArray[np.float64]:
    """Return BLEU, 0 to 1, of each candidate against the reference of its query, [Q, K]."""
    rows = (
        log_bleu(programs.rows(candidates), references.rows([q]))
        for q, candidates in enumerate(places)
    )
    return np.stack([np.exp(row)[0] for row in rows])


def occurrences(tokens: Sequence[str]) -> list[tuple[Ngram, int]]:
    """Return each n-gram with 1, 2, ... up to its number of occurrences."""
    return [(ngram, t) for ngram, count in ngrams(tokens).items() for t in range(1, count + 1)]
