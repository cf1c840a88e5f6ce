"""Vectors learned from the pairs of the train split by word2vec (Mikolov et al., 2013)."""

from collections.abc import Sequence
from typing import Any

from en2py.data.vocab import Vocab
from en2py.models.vectors import Vectors, table

Sentences = Sequence[tuple[list[str], list[str]]]


def none(
    sentences: Sentences, src_vocab: Vocab, tgt_vocab: Vocab, *, seed: int, dim: int
) -> Vectors:
    """Leave the token tables to the model: they are learned with all the rest."""
    return Vectors()


def separate(
    sentences: Sentences,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    *,
    seed: int,
    dim: int,
    window: int,
    epochs: int,
    skip_gram: bool,
) -> Vectors:
    """Learn one space from the descriptions and another one from the programs.

    Args:
        sentences: English and Python tokens of each pair of the train split.
        src_vocab: The English tokens.
        tgt_vocab: The Python tokens.
        seed: The same seed gives the same vectors.
        dim: Width of a vector.
        window: Tokens to the left and to the right that count as neighbours.
        epochs: Passes over the sentences.
        skip_gram: Predict the neighbours from the token (skip-gram) or the token from them (CBOW).
    """
    settings = (seed, dim, window, epochs, skip_gram)
    src_words = learn([src for src, _ in sentences], *settings)
    tgt_words = learn([tgt for _, tgt in sentences], *settings)
    src, src_found = table(src_words, src_vocab, dim, 2 * seed)
    tgt, tgt_found = table(tgt_words, tgt_vocab, dim, 2 * seed + 1)
    return Vectors(src, tgt, src_found, tgt_found)


def joint(
    sentences: Sentences,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    *,
    seed: int,
    dim: int,
    window: int,
    epochs: int,
    skip_gram: bool,
) -> Vectors:
    """Learn one space in which a sentence is a description followed by its program.

    A string that stands on both sides gets one vector. The vocabularies stay as they are. With a
    small window only the words about the seam see the other side. Arguments as in `separate`.
    """
    sentences_of_both = [[*src, *tgt] for src, tgt in sentences]
    words = learn(sentences_of_both, seed, dim, window, epochs, skip_gram)
    src, src_found = table(words, src_vocab, dim, 2 * seed)
    tgt, tgt_found = table(words, tgt_vocab, dim, 2 * seed + 1)
    return Vectors(src, tgt, src_found, tgt_found)


def code(
    sentences: Sentences,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    *,
    seed: int,
    dim: int,
    window: int,
    epochs: int,
    skip_gram: bool,
) -> Vectors:
    """Learn a space from the programs alone. Arguments as in `separate`."""
    words = learn([tgt for _, tgt in sentences], seed, dim, window, epochs, skip_gram)
    tgt, found = table(words, tgt_vocab, dim, 2 * seed + 1)
    return Vectors(tgt=tgt, tgt_found=found)


def learn(
    sentences: Sequence[list[str]], seed: int, dim: int, window: int, epochs: int, skip_gram: bool
) -> dict[str, Any]:
    """Return a vector for each token of the sentences, whatever the vocabulary keeps of them.

    One worker, since several give other numbers in each run; the gensim of today does not look at
    `PYTHONHASHSEED` either.
    """
    if not any(sentences):
        return {}
    from gensim.models import Word2Vec

    model = Word2Vec(
        sentences=sentences,
        vector_size=dim,
        window=window,
        epochs=epochs,
        sg=int(skip_gram),
        min_count=1,
        workers=1,
        seed=seed,
    )
    return {token: model.wv[token].copy() for token in model.wv.index_to_key}
