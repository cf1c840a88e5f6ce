import multiprocessing
import time
from pathlib import Path

import pytest
from filelock import FileLock

from en2py.data import cache
from en2py.data.cache import cached, entry
from en2py.data.files import digest, file_digest, write_atomically
from en2py.errors import Fault, UserError


def test_the_second_call_does_not_build(tmp_path: Path) -> None:
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": 1}) == {"v": 1}
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": 2}) == {"v": 1}


def test_waiting_for_another_process_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FileLock(entry(tmp_path, "x", {"a": 1}).with_suffix(".lock"))
    other.acquire()
    sentences: list[str] = []

    def logged(sentence: str) -> None:
        sentences.append(sentence)
        other.release()

    monkeypatch.setattr(cache, "_PATIENCE", 0)
    monkeypatch.setattr(cache.log, "info", logged)
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": 1}) == {"v": 1}
    assert sentences == ["waiting for another process, which puts the same x into the cache"]


@pytest.mark.parametrize("name", ["a", "code"])
def test_another_key_is_another_entry(name: str, tmp_path: Path) -> None:
    cached(tmp_path, "x", {name: 1}, lambda: {"v": 1})
    assert cached(tmp_path, "x", {name: 2}, lambda: {"v": 2}) == {"v": 2}


def test_changed_code_makes_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path, "x", {"a": 1}, lambda: {"v": 1})
    monkeypatch.setattr(cache, "code_version", lambda: "other rules")
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": 2}) == {"v": 2}


def test_a_damaged_entry_is_built_again(tmp_path: Path) -> None:
    cached(tmp_path, "x", {"a": 1}, lambda: {"v": 1})
    (file,) = tmp_path.glob("x-*.json")
    file.write_bytes(file.read_bytes()[:-2])
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": 2}) == {"v": 2}


def test_the_file_of_an_entry_is_known_before_it_is_built(tmp_path: Path) -> None:
    file = entry(tmp_path, "x", {"a": 1})
    assert not file.exists()
    cached(tmp_path, "x", {"a": 1}, lambda: [1])
    assert [*tmp_path.glob("*.json")] == [file]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that nobody may write to")
def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(UserError, match="^cache: /proc/x cannot be created .*; use cache=FOLDER$"):
        cached(Path("/proc/x"), "x", {"a": 1}, lambda: {"v": 1})


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        cached(tmp_path, "x", {"a": 1}, _fail)
    assert not list(tmp_path.glob("*.json"))


def _fail() -> dict[str, int]:
    raise RuntimeError("no")


def _slow_build(folder: str, log: str) -> None:
    def build() -> dict[str, int]:
        with open(log, "a") as file:
            file.write("built\n")
        time.sleep(0.2)  # long enough that the others arrive meanwhile
        return {"v": 1}

    assert cached(Path(folder), "x", {"a": 1}, build) == {"v": 1}


def test_concurrent_processes_build_an_entry_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=_slow_build, args=(str(tmp_path / "cache"), str(log)))
        for _ in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert log.read_text() == "built\n"


def test_atomic_write_keeps_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Fault, match="needs at least 3 bytes"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


@pytest.mark.parametrize("kind", ["py", "yaml", "arrow"])
def test_digest_of_a_folder_sees_names_and_contents(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{kind}").write_text("1")
    before = file_digest(tmp_path)
    (tmp_path / f"c.{kind}").symlink_to("nowhere")
    assert file_digest(tmp_path) == before
    (tmp_path / f"a.{kind}").rename(tmp_path / f"b.{kind}")
    assert file_digest(tmp_path) != before
