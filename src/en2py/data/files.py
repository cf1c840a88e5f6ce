"""Atomic file writes and digests."""

import csv
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from en2py.errors import Fault, UserError, chain

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time


def digest(value: Any) -> str:
    """Return the SHA-256 of plain containers; equal content gives equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of its files' names and contents.

    Of a folder counts what a package computes with, Python and YAML, and what Hugging Face
    `datasets` saves, Arrow.
    """
    path = Path(path)
    if path.is_dir():
        found = (file for kind in ("py", "yaml", "arrow") for file in path.rglob(f"*.{kind}"))
        # A link of an editor may point nowhere; a source leaves out what it cannot read.
        files = sorted(file for file in found if file.is_file() and os.access(file, os.R_OK))
        return digest({str(file.relative_to(path)): file_digest(file) for file in files})
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_variable() -> Path | None:
    """Return the folder of the environment variable `EN2PY_CACHE`; None if it is empty."""
    folder = os.environ.get("EN2PY_CACHE", "").strip()
    return Path(os.path.expanduser(folder)) if folder else None


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # another process has replaced it
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


def read_table(path: Path) -> Any:
    """Return the content of a YAML file; its lists are tuples, so callers cannot change them."""

    def frozen(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: frozen(item) for key, item in value.items()}
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    return frozen(yaml.load(path.read_text(encoding="utf-8"), _LOADER))


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header line, each without its empty cells."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header line; the cell of a missing value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def make_folder(folder: Path, key: str) -> None:
    """Make a folder, which the setting `key` names, and its parents.

    Raises:
        UserError: If it cannot be made there, or if nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, PermissionError) as error:  # /proc; a full disk is a Fault
        raise UserError(
            f"{key}: {folder} cannot be created ({error.strerror}); use {key}=FOLDER"
        ) from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"{key}: {folder} is not writable; use {key}=FOLDER")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file in the same folder; at the end sync it to disk and rename it.

    A kill or a full disk leaves the old file or the new one, never a part of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp restricts the file to its owner
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file through `atomic_file`.

    Raises:
        Fault: If the disk is full.
    """
    try:
        with atomic_file(path) as file:
            file.write(content)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise disk_full(path, len(content), error) from error


# Why a file cannot grow, and the remedy.
FULL = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota of this account is used up", "free some space"),
    errno.EFBIG: ("this shell limits the size of a file", "raise the limit (ulimit -f)"),
}


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error or one of its causes is a full disk, a quota or a limit of files."""
    return any(isinstance(link, OSError) and link.errno in FULL for link in chain(error))


def disk_full(path: Path, needed: int, error: BaseException) -> Fault:
    """Return the error of a file that needs more bytes than it may have, with its cause."""
    code = next((link.errno for link in chain(error) if isinstance(link, OSError)), None)
    why, remedy = FULL.get(code or errno.ENOSPC, FULL[errno.ENOSPC])
    is_full = why == "the disk is full"  # else a limit, whatever is free
    free = f" and {shutil.disk_usage(path.parent).free:,} are free" if is_full else ""
    return Fault(
        f"{why}: '{path}' needs at least {needed:,} bytes{free}; files written before are "
        f"complete, so {remedy} and run the same command again"
    )


def remove_leftovers(folder: Path, of: str = "*") -> None:
    """Delete temporary files of killed writers of `of`, a pattern; no other process may write."""
    for file in folder.glob(f".{of}.*.tmp"):
        file.unlink(missing_ok=True)
