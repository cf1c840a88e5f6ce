"""Vectors learned elsewhere: word2vec, fastText and GloVe files, as text or binary, gzipped or not.

Of a file of any size only the words of the vocabulary are kept in memory.

Shape letters: V vocabulary, W width of the vectors in the file.
"""

import gzip
import io
import math
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from en2py.data.text_files import find_file
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.errors import UserError
from en2py.models.embeddings import Sentences
from en2py.models.vectors import Vectors, table

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
