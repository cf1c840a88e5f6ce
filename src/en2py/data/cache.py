"""Content-addressed cache on disk: the key contains all that the value depends on.

An entry is built once, under a lock that the system releases if its holder dies, and written
atomically: readers see the whole entry or none, however many runs start at once.
"""

import hashlib
import json
import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from en2py.data.files import digest, file_digest, make_folder, remove_leftovers, write_atomically

log = logging.getLogger(__name__)

T = TypeVar("T")
_PATIENCE = 2.0  # seconds

# Libraries that change the prepared data: a new version makes a new key.
_LIBRARIES = ("autopep8", "ftfy", "fissix", "gensim", "spacy", "tokenizers", "scikit-learn")


@cache
def code_version() -> str:
    """Return a digest of the code: data preparation, word vectors, Python, the libraries.

    `tokenize` and `ast` differ between Python versions, so the version is part of the key.
    """
    return digest(
        {
            "rules": file_digest(Path(__file__).parent),
            "embeddings": file_digest(Path(__file__).parent.parent / "models" / "embeddings.py"),
            "python": platform.python_version(),
            "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        }
    )


def entry(folder: Path, kind: str, key: dict[str, Any]) -> Path:
    """Return the file of a key; the first word of its name is the kind of the value."""
    return folder / f"{kind}-{digest([key, code_version()])[:24]}.json"


def cached(folder: Path, kind: str, key: dict[str, Any], build: Callable[[], T]) -> T:
    """Return the value of a key; build it if it is not in the cache.

    Args:
        folder: The folder of the cache.
        kind: First word of the file name.
        key: All that the value depends on, as plain containers.
        build: Builds the value, plain containers and never None; from the cache its tuples are
            lists.

    Raises:
        UserError: If the folder cannot be made.
    """
    path = entry(folder, kind, key)
    stored: T | None = _read(path)
    if stored is not None:
        return stored
    make_folder(folder, "cache")
    with _locked(path.with_suffix(".lock"), kind):
        stored = _read(path)
        if stored is not None:
            return stored
        remove_leftovers(folder, path.name)
        value = build()
        text = json.dumps(value, ensure_ascii=True).encode()
        write_atomically(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        return value


@contextmanager
def _locked(path: Path, kind: str) -> Iterator[None]:
    """Hold a lock, which the system releases if its holder is killed; log that another one does."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        log.info(f"waiting for another process, which puts the same {kind} into the cache")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> Any:
    """Read an entry, a line of checksum and one of JSON; None if it is missing or damaged."""
    try:
        checksum, _, text = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        return None
    return json.loads(text)
