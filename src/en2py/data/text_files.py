r"""Reads a text file that a person named: UTF-8 text comes out, everything else is refused.

A wrong guess about an encoding would put wrong characters into the training data without a word,
so nothing is guessed: a file that is not UTF-8 is refused with the place of the first wrong byte
and the command that converts it. A byte order mark is taken off and line ends become `\n`.
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from en2py.errors import UserError

MAX_LINE = 1_000_000  # bytes; code and descriptions are far shorter, machine-made files are not
MAX_FILE = 1_000_000_000  # bytes; the whole file is held in memory, a few times over
BLOCK = 1 << 20  # bytes read at once

# Byte order marks; that of UTF-32 starts with that of UTF-16, so it is asked for first.
ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
SIGNATURES = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
    b"SQLite format 3": "a database",
    b"\x80\x04\x95": "a pickle",
    b"PAR1": "a Parquet table",
}
CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\v\x1b")


def read_text(path: str | os.PathLike[str], *, max_line: int | None = MAX_LINE) -> str:
    r"""Read a UTF-8 text file.

    Args:
        path: The file; `~` stands for the home folder.
        max_line: Longest line in bytes; None for no limit.

    Returns:
        The text without byte order mark, with `\n` for every line end.

    Raises:
        UserError: If there is no such file, or it is a folder, empty, binary, not UTF-8, holds a
            NUL byte or too long a line.
    """
    file = find_file(path)
    data = _read_bytes(file, max_line)
    if not data.strip():
        raise UserError(f"{file} is empty; it needs at least one pair of description and code")
    _refuse_other_encodings(file, data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse_binary(file, data)
        raise UserError(_not_utf8(file, data, error)) from None
    if not text.strip():
        raise UserError(f"{file} is empty; it needs at least one pair of description and code")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def find_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing file.

    Raises:
        UserError: If it is missing, a folder or no ordinary file.
    """
    name = os.fspath(path)
    if not name or "\0" in name:
        raise UserError(f"{name!r} is no path of a file")
    try:
        file = Path(name).expanduser()
    except RuntimeError:  # ~nobody
        file = Path(name)
    try:
        if file.is_dir():
            raise UserError(f"{file} is a folder, not a file{_inside(file)}")
        if file.is_file():
            return file
        if file.exists():
            raise UserError(f"{file} is not an ordinary file; copy its content into one")
        raise UserError(f"{file} does not exist{_nearest(file)}")
    except OSError as error:  # a name of 300 characters, a folder that may not be entered
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None


def _read_bytes(file: Path, max_line: int | None) -> bytes:
    """Read the file block by block, so that a limit stops the reading and not the memory."""
    data, line_start = bytearray(), 0
    try:
        for block in _blocks(file):
            for line_end in _line_ends(block):
                if max_line is not None and len(data) + line_end - line_start > max_line:
                    number = _line_of(bytes(data + block), line_start)
                    raise UserError(
                        f"{file}, line {number:,}: the line is longer than {max_line:,} bytes;"
                        " a file of pairs has shorter lines, break it or leave it out"
                    )
                if line_end < len(block):
                    line_start = len(data) + line_end + 1
            data += block
            if len(data) > MAX_FILE:
                raise UserError(
                    f"{file} is larger than {MAX_FILE:,} bytes, more than is read at once;"
                    " split it into several files"
                )
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    return bytes(data)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as handle:
        while block := handle.read(BLOCK):
            yield block


def _line_ends(block: bytes) -> Iterator[int]:
    """Yield where each line of a block ends; the last goes on in the next block."""
    yield from (end.start() for end in re.finditer(rb"[\r\n]", block))
    yield len(block)


def _refuse_other_encodings(file: Path, data: bytes) -> None:
    """Refuse what is no UTF-8 text by its first bytes or its NUL bytes."""
    for mark, kind in SIGNATURES.items():
        if data.startswith(mark):
            raise UserError(f"{file} is {kind}, not a text file; name a file of plain UTF-8 text")
    for mark, encoding in ENCODINGS.items():
        if data.startswith(mark):
            raise UserError(f"{file} is {encoding} text, not UTF-8; {_convert(encoding)}")
    nul = data.find(b"\0")
    if nul < 0:
        return
    head = data[:4096]
    halves = head[0::2].count(0), head[1::2].count(0)
    if min(halves) == 0 and max(halves) > 0.3 * len(head) / 2:
        order = "UTF-16BE" if halves[0] else "UTF-16LE"
        raise UserError(f"{file} looks like {order} text, not UTF-8; {_convert(order)}")
    _refuse_binary(file, data)
    raise UserError(
        f"{file}, line {_line_of(data, nul):,}: NUL byte at offset {nul:,}; no Python program"
        " holds one, remove it"
    )


def _refuse_binary(file: Path, data: bytes) -> None:
    """Refuse a file whose beginning is rich in control characters; one or two are a slip."""
    head = data[:4096]
    if len(head) - len(head.translate(None, CONTROLS)) > max(10, 0.05 * len(head)):
        raise UserError(f"{file} is a binary file; name a file of plain UTF-8 text")


def _not_utf8(file: Path, data: bytes, error: UnicodeDecodeError) -> str:
    offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
    return (
        f"{file}, line {_line_of(data, offset):,}: byte 0x{data[offset]:02x} at offset {offset:,}"
        f" is not UTF-8; if the file is Latin-1 or Windows text, {_convert('cp1252')}"
    )


def _convert(encoding: str) -> str:
    return f"save it as UTF-8, for example by `iconv -f {encoding} -t UTF-8 FILE > NEW`"


def _line_of(data: bytes, offset: int) -> int:
    """Count lines up to a byte, whichever line ends the file has."""
    before = data[:offset]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


def _inside(folder: Path) -> str:
    """Name a text file in a folder that was given for a file."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    likely = [name for name in names if name.endswith((".txt", ".jsonl", ".json"))]
    return f"; name a file in it, such as {likely[0]}" if likely else "; name a file"


def _nearest(file: Path) -> str:
    """Suggest the existing file with the nearest name, or tell which folder is missing."""
    folder = file.parent
    if not folder.is_dir():
        while not folder.parent.is_dir():
            folder = folder.parent
        near = _near(folder.name, folder.parent, folders=True)
        hint = f"; did you mean {near}?" if near else ""
        return f", because there is no folder {folder}{hint}"
    near = _near(file.name, folder, folders=False)
    if near:
        return f"; did you mean {near}?"
    return "; a relative path starts at the current folder" if not file.is_absolute() else ""


def _near(name: str, folder: Path, *, folders: bool) -> Path | None:
    """Return the entry of a folder whose name is nearest, ignoring case."""
    entries = {e.name.lower(): e.name for e in os.scandir(folder) if e.is_dir() == folders}
    near = difflib.get_close_matches(name.lower(), entries, n=1, cutoff=0.6)
    return folder / entries[near[0]] if near else None
