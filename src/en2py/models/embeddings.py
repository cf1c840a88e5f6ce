"""Initial token tables: word2vec trained on the train split, or vectors from a file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from en2py.data.text_files import find_file
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.errors import UserError
from en2py.models.vector_files import read_vectors

Sentences = Sequence[tuple[list[str], list[str]]]  # English and Python tokens of each pair


@dataclass(frozen=True)
class Vectors:
    """Initial token tables; None for a side that starts from random weights.

    Attributes:
        src: One row per English token, `[V, W]`.
        tgt: One row per Python token, `[V, W]`; V and W may differ from those of `src`.
        src_found: True where the row is a vector of its token and not a random one, `[V]`.
        tgt_found: The same for Python tokens.
    """

    src: Tensor | None = None
    tgt: Tensor | None = None
    src_found: Tensor | None = None
    tgt_found: Tensor | None = None

    @property
    def coverage(self) -> dict[str, float]:
        """Share of each vocabulary that has a vector, without special tokens."""
        sides = {"src": self.src_found, "tgt": self.tgt_found}
        return {
            side: float(found[len(SPECIAL_TOKENS) :].float().mean())
            for side, found in sides.items()
            if found is not None and len(found) > len(SPECIAL_TOKENS)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for the cache; numbers are encoded bit for bit."""
        return {field.name: _encoded(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Vectors":
        """Invert `to_dict`."""
        return cls(**{name: _decoded(part) for name, part in record.items()})


def _encoded(tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    kind = "<f4" if tensor.is_floating_point() else "|b1"
    data = np.ascontiguousarray(tensor.numpy(), dtype=kind).tobytes()
    return {"shape": list(tensor.shape), "kind": kind, "data": base64.b64encode(data).decode()}


def _decoded(record: Mapping[str, Any] | None) -> Tensor | None:
    if record is None:
        return None
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=record["kind"])
    return torch.tensor(flat.astype(flat.dtype.newbyteorder("="))).reshape(record["shape"])


def table(words: Mapping[str, Any], vocab: Vocab, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Arrange vectors by vocabulary id.

    Args:
        words: Vectors by token, each a row of `width` numbers.
        vocab: Vocabulary of the rows.
        width: Numbers per vector.
        seed: Seed of the rows of special tokens and of tokens without a vector, drawn from a normal
            distribution with the standard deviation of the other rows.

    Returns:
        The rows `[V, W]` and whether each is a vector of its token `[V]`.
    """
    found = torch.tensor([t in words and t not in SPECIAL_TOKENS for t in vocab.tokens])
    rows = torch.randn(len(vocab), width, generator=torch.Generator().manual_seed(seed))
    if found.any():
        known = [t for t, is_found in zip(vocab.tokens, found.tolist(), strict=True) if is_found]
        vectors = torch.stack([torch.tensor(words[t], dtype=torch.float32) for t in known])
        rows *= vectors.std(correction=0)
        rows[found] = vectors
    else:
        rows *= width**-0.5
    return rows, found


def none(
    sentences: Sentences, src_vocab: Vocab, tgt_vocab: Vocab, *, seed: int, dim: PositiveInt
) -> Vectors:
    """Start both token tables from random weights."""
    return Vectors()


class Word2VecSettings(TypedDict):
    """The arguments of a training by word2vec.

    Attributes:
        seed: The same seed gives the same vectors.
        dim: Width of a vector.
        window: Number of context tokens to the left and to the right.
        epochs: Passes over the sentences.
        skip_gram: Predict the context from the token (skip-gram) or the token from it (CBOW).
    """

    seed: int
    dim: PositiveInt
    window: PositiveInt
    epochs: PositiveInt
    skip_gram: bool


def separate(
    sentences: Sentences, src_vocab: Vocab, tgt_vocab: Vocab, **settings: Unpack[Word2VecSettings]
) -> Vectors:
    """Train one space on the descriptions and another one on the programs, by word2vec.

    Args:
        sentences: English and Python tokens of each pair of the train split.
        src_vocab: The English tokens.
        tgt_vocab: The Python tokens.
        **settings: Of word2vec.
    """
    dim, seed = settings["dim"], settings["seed"]
    src_words = train_word2vec([src for src, _ in sentences], **settings)
    tgt_words = train_word2vec([tgt for _, tgt in sentences], **settings)
    src, src_found = table(src_words, src_vocab, dim, 2 * seed)
    tgt, tgt_found = table(tgt_words, tgt_vocab, dim, 2 * seed + 1)
    return Vectors(src, tgt, src_found, tgt_found)


def joint(
    sentences: Sentences, src_vocab: Vocab, tgt_vocab: Vocab, **settings: Unpack[Word2VecSettings]
) -> Vectors:
    """Train one space, in which a sentence is a description followed by its program.

    A string that is a token of both sides has one vector. With a small window only the tokens next
    to the boundary have context of the other side. Arguments as in `separate`.
    """
    dim, seed = settings["dim"], settings["seed"]
    words = train_word2vec([[*src, *tgt] for src, tgt in sentences], **settings)
    src, src_found = table(words, src_vocab, dim, 2 * seed)
    tgt, tgt_found = table(words, tgt_vocab, dim, 2 * seed + 1)
    return Vectors(src, tgt, src_found, tgt_found)


def code(
    sentences: Sentences, src_vocab: Vocab, tgt_vocab: Vocab, **settings: Unpack[Word2VecSettings]
) -> Vectors:
    """Train a space on the programs alone. Arguments as in `separate`."""
    words = train_word2vec([tgt for _, tgt in sentences], **settings)
    tgt, found = table(words, tgt_vocab, settings["dim"], 2 * settings["seed"] + 1)
    return Vectors(tgt=tgt, tgt_found=found)


def train_word2vec(
    sentences: Sequence[list[str]], **settings: Unpack[Word2VecSettings]
) -> dict[str, Any]:
    """Train word2vec; return a vector for each token of the sentences, in the vocabulary or not.

    One worker: with several, results differ between runs. They do not depend on `PYTHONHASHSEED`.
    """
    if not any(sentences):
        return {}
    from gensim.models import Word2Vec

    model = Word2Vec(
        sentences=sentences,
        vector_size=settings["dim"],
        window=settings["window"],
        epochs=settings["epochs"],
        sg=int(settings["skip_gram"]),
        min_count=1,
        workers=1,
        seed=settings["seed"],
    )
    return {token: model.wv[token].copy() for token in model.wv.index_to_key}


def pretrained(
    sentences: Sentences,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    *,
    seed: int,
    dim: PositiveInt,
    path: str,
) -> Vectors:
    """Read the vectors of the English words from a file; the Python table starts random.

    A token that the file lacks is looked up in lower case.

    Args:
        sentences: Not used.
        src_vocab: The English tokens.
        tgt_vocab: Not used.
        seed: Seed of the rows of tokens that the file lacks.
        dim: Not used: vectors have the file's width, and the model projects them to its own.
        path: A word2vec file (text or binary), a fastText `.vec` or a GloVe file; may be gzipped.

    Raises:
        UserError: If the file is missing, damaged, or has none of the words.
    """
    file = find_file(path)
    tokens = {t for t in src_vocab.tokens if t not in SPECIAL_TOKENS}
    vectors = read_vectors(file, tokens | {t.lower() for t in tokens})
    keys = {token: token if token in vectors else token.lower() for token in tokens}
    words = {token: vectors[key] for token, key in keys.items() if key in vectors}
    if not words:
        raise UserError(
            f"{file} has no vector for any of the {len(tokens):,} English tokens of the data;"
            " choose a file of English words"
        )
    src, found = table(words, src_vocab, len(next(iter(words.values()))), 2 * seed)
    return Vectors(src=src, src_found=found)
