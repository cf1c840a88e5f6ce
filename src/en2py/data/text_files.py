r"""Read UTF-8 text files named by a user.

The encoding is not guessed, because a wrong guess would silently put wrong characters into the
training data: a file that is not UTF-8 is refused with the position of the first wrong byte and the
command that converts it. A byte order mark is removed and line ends become `\n`. Files that gzip
compressed are decompressed.
"""

import codecs
import gzip
import io
import os
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from en2py.errors import UserError

MAX_FILE = 1_000_000_000  # bytes; the whole file is held in memory, several times
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")  # in no text, whatever its encoding


def read_text(
    path: str | os.PathLike[str], forms: str = "UTF-8 text, also compressed by gzip"
) -> str:
    r"""Read a UTF-8 text file.

    Args:
        path: The file; `~` is the home folder.
        forms: What can be read there, for the message about a binary file.

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
    if encoding := _wide_encoding(data):
        raise UserError(f"{file} is {encoding} text; {_convert(encoding)}")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    wrong = data.find(b"\0")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if not (control := _CONTROL.search(data)):
            raise UserError(
                f"{file}, line {_line_of(data, error.start):,}: byte 0x{data[error.start]:02x} is"
                f" not UTF-8; if the file is Latin-1 or Windows text, {_convert('cp1252')}"
            ) from None
        wrong = control.start()
    if wrong >= 0:
        raise UserError(
            f"{file} is not a text file: byte 0x{data[wrong]:02x} in line"
            f" {_line_of(data, wrong):,}; supported: {forms}"
        )
    if not text.strip():
        raise UserError(f"{file} is empty")
    return text


def _wide_encoding(data: bytes) -> str:
    """Return the encoding of text in UTF-16 or UTF-32; empty if it is other content."""
    if marked := next((name for mark, name in _MARKS.items() if data.startswith(mark)), ""):
        return marked
    even, odd = data[:1000:2], data[1:1000:2]
    for name, high, low in (("UTF-16LE", odd, even), ("UTF-16BE", even, odd)):
        if 2 * high.count(0) > len(high) and not low.count(0):
            return name
    return ""


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
