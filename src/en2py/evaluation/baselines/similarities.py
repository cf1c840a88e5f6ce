"""Similarities of descriptions to training pairs, each as the product of two matrices of features.

Shape letters: Q queries, N training pairs, F features.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import normalize

from en2py.data.duplicates import core_description
from en2py.data.neighbours import CHARACTER_NGRAMS, WORD_NGRAMS
from en2py.data.pairs import Pair
from en2py.evaluation.baselines.retrieval import descriptions

N_TOPICS = 200  # dimensions of latent semantic analysis
_WORD = r"[^\W\d_]+"
_FILLER = "placeholder"  # no vocabulary may be empty

View = tuple[sparse.csr_matrix, sparse.csr_matrix]  # queries [Q, F], training pairs [N, F]
Similarity = Callable[[Sequence[Pair], Sequence[Pair]], View]  # of training pairs and queries


def _cores(pairs: Sequence[Pair]) -> list[str]:
    return [core_description(pair.description) for pair in pairs]


def _cosine(
    text: Callable[[Sequence[Pair]], list[str]],
    train: Sequence[Pair],
    queries: Sequence[Pair],
    **settings: object,
) -> View:
    """Compare texts of two lists of pairs: cosine of TF-IDF."""
    vectorizer = TfidfVectorizer(**settings)
    known = vectorizer.fit_transform([*text(train), _FILLER])[:-1]
    return vectorizer.transform(text(queries)).tocsr(), known.tocsr()


# Words and pairs of words of the descriptions; 3 to 5 characters within their words.
words: Similarity = partial(_cosine, descriptions, **WORD_NGRAMS)
characters: Similarity = partial(_cosine, descriptions, **CHARACTER_NGRAMS)

# The same of the words that name the task.
core_words: Similarity = partial(_cosine, _cores, token_pattern=_WORD, sublinear_tf=True)
core_characters: Similarity = partial(_cosine, _cores, **CHARACTER_NGRAMS)


def code_characters(train: Sequence[Pair], queries: Sequence[Pair]) -> View:
    """Compare characters of the query with those of the training program: cosine of TF-IDF."""
    vectorizer = TfidfVectorizer(**CHARACTER_NGRAMS)
    codes = [_spelled(pair.code) for pair in train]
    vectorizer.fit([*descriptions(train), *codes])
    return vectorizer.transform(descriptions(queries)).tocsr(), vectorizer.transform(codes).tocsr()


def topics(train: Sequence[Pair], queries: Sequence[Pair]) -> View:
    """Compare topics of the descriptions: cosine after latent semantic analysis.

    Deerwester et al. (1990), "Indexing by Latent Semantic Analysis".
    """
    queried, known = words(train, queries)
    n = min(N_TOPICS, *known.shape)
    with np.errstate(invalid="ignore"):  # a single training pair has no variance
        svd = TruncatedSVD(n, random_state=0).fit(known)
    queried, known = (
        sparse.csr_matrix(normalize(svd.transform(matrix))) for matrix in (queried, known)
    )
    return queried, known


def covered_by_description(train: Sequence[Pair], queries: Sequence[Pair]) -> View:
    """Return the share of the query's words that the training description has."""
    return _coverage(_cores(queries), _cores(train))


def covered_by_code(train: Sequence[Pair], queries: Sequence[Pair]) -> View:
    """Return the share of the query's words that names and words in the training program are."""
    return _coverage(_cores(queries), [_spelled(pair.code) for pair in train])


def same_source(train: Sequence[Pair], queries: Sequence[Pair]) -> View:
    """Return 1 for training pairs of the query's source, which differ only in a mixture."""
    vectorizer = CountVectorizer(analyzer=lambda pair: [pair.source], dtype=np.float64)
    known = vectorizer.fit_transform(train)
    return vectorizer.transform(queries).tocsr(), known.tocsr()


def _coverage(queried: Sequence[str], known: Sequence[str]) -> View:
    vectorizer = CountVectorizer(binary=True, token_pattern=_WORD, dtype=np.float64)
    having = vectorizer.fit_transform([*known, _FILLER])[:-1]
    n_words = [max(1, len(set(re.findall(_WORD, text)))) for text in queried]
    shares = sparse.diags(1 / np.array(n_words, dtype=float))
    return (shares @ vectorizer.transform(queried)).tocsr(), having.tocsr()


def _spelled(code: str) -> str:
    """Return a program in lower case, its names cut into words."""
    return re.sub(r"([a-z])([A-Z])", r"\1 \2", code).replace("_", " ").lower()
