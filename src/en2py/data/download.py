"""Fetches a file once from a pinned address and keeps it, if its checksum is the expected one."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from en2py.data.cache import write_atomically
from en2py.errors import UserError

TIMEOUT = 10  # seconds without an answer
MAX_BYTES = 100_000_000
ENDED_EARLY = "the answer ended early"


def cache_folder() -> Path:
    """Return the folder for downloads: `$EN2PY_CACHE`, else `en2py` in the user's cache folder."""
    if own := os.environ.get("EN2PY_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "en2py"


def fetch(url: str, sha256: str, *, option: str, timeout: float = TIMEOUT) -> Path:
    """Return the local copy of a file, downloading it where it is missing or damaged.

    Args:
        url: An http or https address.
        sha256: Checksum that the content must have, in hexadecimal.
        option: The config key that takes a local file instead, for the error message.
        timeout: Seconds to wait for an answer.

    Raises:
        UserError: If there is no network, the address does not answer with the file, the checksum
            is another one, or the cache folder cannot be written.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"url ({url!r}) must start with https:// or http://")
    file = cache_folder() / "downloads" / sha256[:16] / url.rsplit("/", 1)[-1]
    remedy = f"put the file anywhere and pass {option}=FILE"
    try:
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            return file
        content = _download(url, timeout)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{url} cannot be downloaded ({_reason(error)}); {remedy}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{url} has changed: its SHA-256 is {found}, not {sha256}; get the original, {remedy}"
        )
    try:
        write_atomically(file, content)
    except OSError as error:
        raise UserError(
            f"the download cannot be kept in {file.parent} ({error.strerror or error}); set"
            f" EN2PY_CACHE to a folder that can be written, or {remedy}"
        ) from None
    return file


def _download(url: str, timeout: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "en2py"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        content: bytes = answer.read(MAX_BYTES)
        length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and len(content) < int(length):
        raise OSError(ENDED_EARLY)
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) or str(error) == ENDED_EARLY:
        return f"no network, or the server is away: {getattr(error, 'reason', error)}"
    return f"{type(error).__name__}: {error}"
