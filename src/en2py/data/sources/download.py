"""Download a file once."""

from pathlib import Path

import pooch

from en2py.data.files import cache_variable
from en2py.errors import UserError

TIMEOUT = 10  # seconds without an answer


def fetch(url: str, sha256: str) -> Path:
    """Return the local copy of a file; download it where it is missing or damaged.

    The copy is kept in `$EN2PY_CACHE`, by default `en2py` in the user's cache folder.

    Raises:
        UserError: If the download fails, its checksum is another one, or the cache folder cannot be
            written.
    """
    folder = cache_variable() or Path(pooch.os_cache("en2py"))
    folder = folder / "downloads" / sha256[:16]
    remedy = "put the file anywhere and pass data.path=FILE"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the download cannot be kept in {folder} ({error.strerror or error}); set EN2PY_CACHE"
            f" to a folder that can be written, or {remedy}"
        ) from None
    pooch.get_logger().setLevel("WARNING")
    download = pooch.HTTPDownloader(timeout=TIMEOUT)
    name = url.rsplit("/", 1)[-1]
    try:
        return Path(pooch.retrieve(url, f"sha256:{sha256}", name, folder, downloader=download))
    except OSError as error:  # the exceptions of requests: no network, no such file, no answer
        response = getattr(error, "response", None)
        status = f"status {response.status_code}" if response is not None else type(error).__name__
        raise UserError(
            f"{url} cannot be downloaded ({status}); check the network, or {remedy}"
        ) from None
    except ValueError:
        raise UserError(
            f"{url} no longer has the SHA-256 {sha256}; get the original file, {remedy}"
        ) from None
