"""Vectors learned from the pairs of the train split by word2vec (Mikolov et al., 2013)."""

import base64
import gzip
import io
import math
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from en2py.data.text_files import find_file
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.errors import UserError


@dataclass(frozen=True)
class Vectors:
    """What the token tables start from; None where a side starts from the model's own numbers.

    Attributes:
        src: One row per English token, `[V, W]`.
        tgt: One row per Python token, `[V, W]`; its V and W may be others.
        src_found: True where the row is a learned vector and not a random one, `[V]`.
        tgt_found: The same for Python tokens.
    """

    src: Tensor | None = None
    tgt: Tensor | None = None
    src_found: Tensor | None = None
    tgt_found: Tensor | None = None

    @property
    def coverage(self) -> dict[str, float]:
        """The share of each vocabulary that got a vector, special tokens aside."""
        sides = {"src": self.src_found, "tgt": self.tgt_found}
        return {
            side: float(found[len(SPECIAL_TOKENS) :].float().mean())
            for side, found in sides.items()
            if found is not None and len(found) > len(SPECIAL_TOKENS)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for the cache; the numbers bit for bit, as text."""
        return {field.name: _packed(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Vectors":
        """Undo `to_dict`."""
        return cls(**{name: _unpacked(packed) for name, packed in record.items()})


Sentences = Sequence[tuple[list[str], list[str]]]


PEEK_LINES = 50  # that tell the width of a file without a header


MAX_LINE = 1 << 20  # bytes; 1,000 numbers take about 10,000


MAX_WORD = 10_000  # bytes


MAX_WIDTH = 100_000  # numbers; more is no vector but a damaged header


def pretrained(
    sentences: Sentences,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    *,
    seed: int,
    dim: int,
    path: str,
) -> Vectors:
    """Take the vectors of the English words from a file; Python tokens are left to the model.

    A token that the file lacks is looked for once more in lower case.

    Args:
        sentences: Not needed.
        src_vocab: The English tokens.
        tgt_vocab: Not needed.
        seed: For the rows of tokens that the file lacks.
        dim: Not needed: the width is the file's own, and the model projects it to its own.
        path: A word2vec file (text or binary), a fastText `.vec` or a GloVe file; `.gz` is fine.

    Raises:
        UserError: If the file is missing, damaged, or has none of the words.
    """
    file = find_file(path)
    wanted = {t for t in src_vocab.tokens if t not in SPECIAL_TOKENS}
    vectors = read_vectors(file, wanted | {t.lower() for t in wanted})
    words = {
        token: vectors[known]
        for token in wanted
        for known in (token if token in vectors else token.lower(),)
        if known in vectors
    }
    if not words:
        raise UserError(
            f"{file} holds vectors, but for none of the {len(wanted):,} English tokens of the data;"
            " take a file of English words"
        )
    src, found = table(words, src_vocab, len(next(iter(words.values()))), 2 * seed)
    return Vectors(src=src, src_found=found)


def read_vectors(file: Path, wanted: Collection[str]) -> dict[str, list[float]]:
    """Return the vectors of the wanted words; where a word comes twice, the first one counts.

    Raises:
        UserError: If the file is no table of vectors, or damaged.
    """
    try:
        with _opened(file) as stream:
            form = _form(stream, file)
        with _opened(file) as stream:
            if form.n_words is not None:
                stream.readline(MAX_LINE)
            rows = _binary_rows if form.binary else _text_rows
            vectors: dict[str, list[float]] = {}
            for word, vector in rows(stream, form, set(wanted), file):
                if not all(map(math.isfinite, vector)):
                    raise UserError(f"{file}: the vector of {word!r} holds NaN or infinity")
                vectors.setdefault(word, vector)
            return vectors
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{file} is a damaged gzip file; fetch it again") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None


class _Form(NamedTuple):
    """How a file is written; `n_words` is None where there is no header to tell it."""

    binary: bool
    n_words: int | None
    width: int


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    with file.open("rb") as raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":  # whatever the name ends in
            with gzip.open(raw) as unzipped, io.BufferedReader(unzipped, 1 << 16) as stream:
                yield stream
        else:
            yield raw


def _form(stream: IO[bytes], file: Path) -> _Form:
    lines = [stream.readline(MAX_LINE) for _ in range(PEEK_LINES)]
    lines = [line for line in lines if line]
    if not lines:
        raise UserError(f"{file} is empty; it should hold a word and its numbers a line")
    header = lines[0].split()
    if len(header) == 2 and header[0].isdigit() and header[1].isdigit():
        n_words, width = map(int, header)
        if len(lines) == 1:
            raise UserError(_cut_off(file, 0, n_words))
        if not (n_words and 0 < width <= MAX_WIDTH):
            raise UserError(f"{file} announces {n_words} vectors of {width} numbers each")
        return _Form(_row(lines[1], width) is None, n_words, width)
    # A word may hold spaces, so the line with the fewest fields tells how many are numbers.
    width = min(len(line.split()) for line in lines) - 1
    if width < 1 or any(_row(line, width) is None for line in lines):
        raise UserError(
            f"{file} is no file of word vectors: it neither starts with the number of words and"
            " their width, nor with lines of a word and its numbers; gensim's own files become one"
            " by `wv.save_word2vec_format`"
        )
    return _Form(False, None, width)


def _row(line: bytes, width: int) -> tuple[str, list[float]] | None:
    """Return word and numbers of a line of text, None where it has no such form."""
    fields = line.rsplit(None, width)
    if len(fields) <= width:
        return None
    try:
        return fields[0].decode("utf-8", "replace"), [float(field) for field in fields[1:]]
    except ValueError:
        return None


def _text_rows(
    stream: IO[bytes], form: _Form, wanted: set[str], file: Path
) -> Iterator[tuple[str, list[float]]]:
    # Most lines are not wanted; their first field says so without a look at the numbers.
    heads = {word.split()[0].encode("utf-8", "replace") for word in wanted if word.split()}
    first = 1 if form.n_words is None else 2
    n = 0
    for n, line in enumerate(iter(lambda: stream.readline(MAX_LINE), b""), start=1):  # noqa: B007
        head = line.split(None, 1)[:1]
        if not head or head[0] not in heads:
            continue
        row = _row(line, form.width)
        if row is None:
            raise UserError(
                f"{file}, line {n + first - 1:,}: not a word and {form.width} numbers; the file is"
                " damaged or of another kind"
            )
        if row[0] in wanted:
            yield row
    if form.n_words is not None and n < form.n_words:
        raise UserError(_cut_off(file, n, form.n_words))


def _binary_rows(
    stream: IO[bytes], form: _Form, wanted: set[str], file: Path
) -> Iterator[tuple[str, list[float]]]:
    numbers = struct.Struct(f"<{form.width}f")
    for n in range(form.n_words or 0):
        word = bytearray()
        while (letter := stream.read(1)) not in (b" ", b"") and len(word) < MAX_WORD:
            word += letter
        data = stream.read(numbers.size)
        if letter != b" " or len(data) < numbers.size:
            raise UserError(_cut_off(file, n, form.n_words or 0))
        # Some writers end a vector by a newline, which then stands before the next word.
        text = word.removeprefix(b"\n").decode("utf-8", "replace")
        if text in wanted:
            yield text, list(numbers.unpack(data))


def _cut_off(file: Path, n: int, n_words: int) -> str:
    return f"{file} ends after {n:,} of {n_words:,} vectors, or is damaged there; fetch it again"


Side = Literal["src", "tgt"]


def _packed(tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    kind = "<f4" if tensor.is_floating_point() else "|b1"
    data = np.ascontiguousarray(tensor.numpy(), dtype=kind).tobytes()
    return {"shape": list(tensor.shape), "kind": kind, "data": base64.b64encode(data).decode()}


def _unpacked(record: Mapping[str, Any] | None) -> Tensor | None:
    if record is None:
        return None
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=record["kind"])
    return torch.tensor(flat.astype(flat.dtype.newbyteorder("="))).reshape(record["shape"])


def table(words: Mapping[str, Any], vocab: Vocab, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Arrange vectors by vocabulary id.

    Args:
        words: Vectors by token, each a row of `width` numbers.
        vocab: Gives the order.
        width: Numbers per vector.
        seed: For the rows of special tokens and of tokens without a vector, which are drawn from a
            normal distribution as wide as the vectors that are there.

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


def nearest(
    vectors: Vectors, src_vocab: Vocab, tgt_vocab: Vocab, word: str, side: Side, k: int
) -> list[tuple[Side, str, float]]:
    """Return the tokens nearest to a token by cosine, from both sides where they share a space.

    Only `joint` vectors of the two sides can be compared; otherwise keep to the neighbours of the
    word's own side.

    Args:
        vectors: Vectors of one or both sides.
        src_vocab: The English tokens.
        tgt_vocab: The Python tokens.
        word: A token of the vocabulary of `side`.
        side: Where the word stands.
        k: Number of neighbours.

    Returns:
        (side, token, cosine), the nearest first; the word itself, on its own side, is left out.

    Raises:
        ValueError: If the word has no vector.
    """
    sides: list[tuple[Side, Vocab, Tensor | None, Tensor | None]] = [
        ("src", src_vocab, vectors.src, vectors.src_found),
        ("tgt", tgt_vocab, vectors.tgt, vectors.tgt_found),
    ]
    query: Tensor | None = None
    for name, vocab, rows, found in sides:
        if name == side and rows is not None and found is not None and word in vocab:
            row = vocab.encode([word])[0]
            query = rows[row] if found[row] else None
    if query is None:
        raise ValueError(f"{word!r} has no vector on the {side} side")
    neighbours: list[tuple[Side, str, float]] = []
    for name, vocab, rows, found in sides:
        if rows is None or found is None or rows.shape[1] != len(query):
            continue
        cosines = torch.cosine_similarity(rows, query[None], dim=1)  # [V]
        neighbours += [
            (name, vocab.tokens[i], float(cosines[i]))
            for i in found.nonzero().flatten().tolist()
            if (name, vocab.tokens[i]) != (side, word)
        ]
    return sorted(neighbours, key=lambda n: (-n[2], n[0], n[1]))[:k]


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
