"""A content-addressed cache on disk: the key says all that the value depends on.

An entry is built once, under a lock that dies with its holder, written beside its final name and
renamed: readers see the whole entry or none, however many runs start at once.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from en2py.data.files import digest, file_digest, remove_leftovers, write_atomically

# What the prepared data depends on besides our own code: a new version means a new entry.
_LIBRARIES = ("autopep8", "ftfy", "fissix", "gensim", "spacy", "tokenizers", "scikit-learn")


@cache
def code_version() -> str:
    """Return a digest of the rules themselves: this package's data code, Python, the libraries.

    `tokenize` and `ast` change with Python, so its version is part of the key.
    """
    return digest(
        {
            "rules": file_digest(Path(__file__).parent),
            "embeddings": file_digest(Path(__file__).parent.parent / "models" / "embeddings.py"),
            "python": platform.python_version(),
            "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        }
    )


def cached(
    folder: Path, kind: str, key: dict[str, Any], build: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """Return the entry for `key`, building it if nobody has.

    Args:
        folder: Where the cache lies.
        kind: First word of the file name, for people who look into the folder.
        key: All that the value depends on, as plain containers.
        build: Makes the value, plain containers, when it is not there.

    Returns:
        The value and whether it was there already.
    """
    path = folder / f"{kind}-{digest({**key, 'code': code_version()})[:24]}.json"
    if (value := _read(path)) is not None:
        return value, True
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # released by the system if its holder is killed
        if (value := _read(path)) is not None:
            return value, True
        remove_leftovers(folder, path.name)
        value = build()
        text = json.dumps(value, ensure_ascii=True).encode()
        write_atomically(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        return value, False


def _read(path: Path) -> dict[str, Any] | None:
    """Return what an entry holds, a line of checksum and one of JSON; None where it is damaged."""
    try:
        checksum, _, text = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        return None
    value = json.loads(text)
    return value if isinstance(value, dict) else None
