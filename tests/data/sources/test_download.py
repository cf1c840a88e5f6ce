"""Download of the pinned file, from a server on 127.0.0.1."""

import functools
import hashlib
import http.server
import socket
import threading

import pytest

from en2py.data.pairs import DataReport
from en2py.data.sources import download, english_python
from en2py.errors import UserError

CONTENT = b"# write a sum\nx = 1\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Return the address of a file on a local server; the download cache is empty."""
    monkeypatch.setenv("EN2PY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.txt").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/data.txt"
        server.shutdown()


def test_file_is_downloaded_once(address, tmp_path):
    pairs = english_python.read_english_python(DataReport(), path=None, url=address, sha256=SHA256)
    (tmp_path / "served" / "data.txt").unlink()
    again = english_python.read_english_python(DataReport(), path=None, url=address, sha256=SHA256)
    assert pairs == again and len(pairs) == 1


def test_download_leaves_no_temporary_file(address):
    file = download.fetch(address, SHA256)
    assert [entry.name for entry in file.parent.iterdir()] == ["data.txt"]


def test_damaged_copy_is_downloaded_again(address):
    download.fetch(address, SHA256).write_bytes(b"half")
    assert download.fetch(address, SHA256).read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_the_file_is_not_kept(address, tmp_path):
    with pytest.raises(UserError, match="no longer has the SHA-256 000.*data.path=FILE"):
        download.fetch(address, "0" * 64)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_missing_file_on_the_server_is_reported(address):
    with pytest.raises(UserError, match="cannot be downloaded .status 404.*data.path=FILE"):
        download.fetch(address + "x", SHA256)


def test_missing_network_is_reported_with_the_remedy(address):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses every connection
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/data.txt"
        with pytest.raises(UserError, match="ConnectionError.*check the network.*data.path"):
            download.fetch(url, SHA256)


def test_silent_server_is_abandoned_after_the_timeout(address, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/data.txt"
        with pytest.raises(UserError, match="ReadTimeout.*data.path=FILE"):
            download.fetch(url, SHA256)


def test_read_only_cache_is_reported(address, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EN2PY_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set EN2PY_CACHE"):
        download.fetch(address, SHA256)
