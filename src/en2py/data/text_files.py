r"""Read UTF-8 text files named by a user.

The encoding is not guessed, because a wrong guess would silently put wrong characters into the
training data: a file that is not UTF-8 is refused with the position of the first wrong byte and the
command that converts it. A byte order mark is removed and line ends become `\n`. Files that gzip
compressed are decompressed.
"""

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from en2py.errors import UserError

MAX_FILE = 1_000_000_000  # bytes; the whole file is held in memory, several times


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Read a UTF-8 text file.

    Args:
        path: The file; `~` is the home folder.

    Returns:
        The text without byte order mark, with `\n` for every line end.

    Raises:
        UserError: If the file does not exist, or is a folder, empty, too large, not UTF-8, or
            contains a NUL byte.
    """
    file = find_file(path)
    try:
        with open_bytes(file) as stream:
            data = stream.read(MAX_FILE + 1)
    except (EOFError, zlib.error) as error:
        raise UserError(f"{file} cannot be decompressed: {error}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE:
        raise UserError(f"{file} is larger than {MAX_FILE:,} bytes; split it into several files")
    if data.startswith(b"PK\x03\x04"):
        raise UserError(f"{file} is a ZIP archive or a spreadsheet; unpack it, or save it as CSV")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if (nul := data.find(b"\0")) >= 0:
        raise UserError(
            f"{file}, line {_line_of(data, nul):,}: NUL byte; if this is not a binary file but"
            f" UTF-16 text, {_convert('UTF-16')}"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}, line {_line_of(data, error.start):,}: byte 0x{data[error.start]:02x} is not"
            f" UTF-8; if the file is Latin-1 or Windows text, {_convert('cp1252')}"
        ) from None
    if not text.strip():
        raise UserError(f"{file} is empty")
    return text


def open_bytes(file: Path) -> BinaryIO:
    """Open a file, and decompress it if its content is gzipped, whatever its name is."""
    with file.open("rb") as raw:
        is_compressed = raw.read(2) == b"\x1f\x8b"
    return io.BufferedReader(gzip.open(file)) if is_compressed else file.open("rb")


def find_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing file.

    `config.paths` has refused a wrong path of the command line, with the nearest name.

    Raises:
        UserError: If it does not exist, or is a folder or a device.
    """
    file = os.path.expanduser(path)
    if not os.path.isfile(file):
        what = "is not an ordinary file; copy its content into one"
        raise UserError(f"{file} {what if os.path.exists(file) else 'does not exist'}")
    return Path(file)


def _convert(encoding: str) -> str:
    return f"save it as UTF-8, for example by `iconv -f {encoding} -t UTF-8 FILE > NEW`"


def _line_of(data: bytes, offset: int) -> int:
    return 1 + data.count(b"\n", 0, offset)
