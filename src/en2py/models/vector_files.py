"""Read files of word vectors: word2vec as text or binary, fastText, GloVe."""

import gzip
import zlib
from collections.abc import Iterator, Set
from pathlib import Path
from typing import IO, Any

import numpy as np

from en2py.data.text_files import open_bytes
from en2py.errors import UserError

Rows = Iterator[tuple[str, Any]]  # word and vector

PEEK_LINES = 50  # to detect the width of a file without a header
MAX_LINE = 1 << 20  # bytes; 1,000 numbers take about 10,000
MAX_WORD = 10_000  # bytes
MAX_WIDTH = 100_000  # numbers; a header with more is damaged


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
