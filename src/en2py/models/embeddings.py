"""Initial token tables: word2vec trained on the train split, or vectors from a file."""

import base64
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from en2py.data.text_files import find_file, open_bytes
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.errors import UserError

Sentences = Sequence[tuple[list[str], list[str]]]  # English and Python tokens of each pair
Rows = Iterator[tuple[str, Any]]  # word and vector

PEEK_LINES = 50  # to detect the width of a file without a header
MAX_LINE = 1 << 20  # bytes; 1,000 numbers take about 10,000
MAX_WORD = 10_000  # bytes
MAX_WIDTH = 100_000  # numbers; a header with more is damaged


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


# --------------------------------------------------------------------------------- vector files


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


def read_vectors(file: Path, words: Set[str]) -> dict[str, Any]:
    """Return the vectors of some words; the first one of a word that the file repeats.

    The file is read row by row: gensim's loader keeps all rows, and parses the 400,000 of a GloVe
    file in minutes instead of seconds.

    Raises:
        UserError: If the file is damaged or holds no vectors.
    """
    vectors: dict[str, Any] = {}
    try:
        with open_bytes(file) as stream:
            binary, n_rows, width = _detect_format(stream)
            for word, vector in (_binary_rows if binary else _text_rows)(
                stream, n_rows, width, words
            ):
                if not np.isfinite(vector).all():
                    raise _InvalidFile(f": the vector of {word!r} contains NaN or infinity")
                vectors.setdefault(word, vector)
    except _InvalidFile as error:
        raise UserError(f"{file}{error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{file} is a damaged gzip file; download it again") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    return vectors


class _InvalidFile(Exception):
    """A vector file is damaged or of another kind; the message continues the file's name."""


def _detect_format(stream: IO[bytes]) -> tuple[bool, int | None, int]:
    """Return whether a file is binary, its number of rows if a header has it, and their width.

    The stream is left at the first row.
    """
    lines = [line for line in (stream.readline(MAX_LINE) for _ in range(PEEK_LINES)) if line]
    stream.seek(0)
    if not lines:
        raise _InvalidFile(" is empty; expected a word and its numbers in each line")
    header = lines[0].split()
    if len(header) == 2 and header[0].isdigit() and header[1].isdigit():
        n_rows, width = map(int, header)
        if len(lines) == 1:
            raise _truncated(0, n_rows)
        if not (n_rows and 0 < width <= MAX_WIDTH):
            raise _InvalidFile(f" has a header of {n_rows} vectors of {width} numbers each")
        stream.readline()
        return _parse_row(lines[1], width) is None, n_rows, width
    # A word may contain spaces, so the line with the fewest fields determines the width.
    width = min(len(line.split()) for line in lines) - 1
    if width < 1 or any(_parse_row(line, width) is None for line in lines):
        raise _InvalidFile(
            " is no file of word vectors: its first lines are neither a header (number of words,"
            " width) nor a word and its numbers; `wv.save_word2vec_format` converts gensim's files"
        )
    return False, None, width


def _parse_row(line: bytes, width: int) -> tuple[str, Any] | None:
    """Return word and vector of a line of text, None if it is not of this form."""
    parts = line.rsplit(None, width)
    try:
        vector = np.array([float(part) for part in parts[1:]], dtype=np.float32)
    except ValueError:
        return None
    return (parts[0].decode("utf-8", "replace"), vector) if len(vector) == width else None


def _text_rows(stream: IO[bytes], n_rows: int | None, width: int, words: Set[str]) -> Rows:
    # The first field is enough to skip most lines without parsing their numbers.
    heads = {word.split()[0].encode("utf-8", "replace") for word in words if word.split()}
    n_lines, header = 0, 0 if n_rows is None else 1
    for line in stream:
        n_lines += 1
        head = line.split(None, 1)[:1]
        if not head or head[0] not in heads:
            continue
        row = _parse_row(line, width)
        if row is None:
            raise _InvalidFile(
                f", line {n_lines + header:,}: expected a word and {width} numbers; the file is"
                " damaged or of another kind"
            )
        if row[0] in words:
            yield row
    if n_rows is not None and n_lines < n_rows:
        raise _truncated(n_lines, n_rows)


def _binary_rows(stream: IO[bytes], n_rows: int | None, width: int, words: Set[str]) -> Rows:
    for n in range(n_rows or 0):
        word = bytearray()
        while (letter := stream.read(1)) not in (b" ", b"") and len(word) < MAX_WORD:
            word += letter
        data = stream.read(4 * width)
        if letter != b" " or len(data) < 4 * width:
            raise _truncated(n, n_rows or 0)
        # Some programs write a newline after each vector; it is read in front of the next word.
        text = word.removeprefix(b"\n").decode("utf-8", "replace")
        if text in words:
            yield text, np.frombuffer(data, dtype="<f4")


def _truncated(n: int, n_rows: int) -> _InvalidFile:
    return _InvalidFile(
        f" ends after {n:,} of {n_rows:,} vectors, or is damaged there; download it again"
    )
