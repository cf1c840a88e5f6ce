"""Concurrent and killed builders of a cache entry."""

import multiprocessing
import os
from pathlib import Path

import pytest

from en2py.data.cache import cached

SPAWN = multiprocessing.get_context("spawn")


def _build(folder: str, log: str, gate: object) -> None:
    def build() -> dict[str, list[int]]:
        with open(log, "a") as file:
            file.write("built\n")
        return {"v": list(range(100_000))}

    gate.wait()  # type: ignore[attr-defined]
    assert cached(Path(folder), "x", {"a": 1}, build) == {"v": list(range(100_000))}


@pytest.mark.slow
def test_eight_concurrent_processes_build_once_and_read_the_whole_entry(tmp_path: Path) -> None:
    gate = SPAWN.Barrier(8)
    log = tmp_path / "log"
    args = (str(tmp_path / "cache"), str(log), gate)
    jobs = [SPAWN.Process(target=_build, args=args) for _ in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 8
    assert log.read_text() == "built\n"
    assert len(list((tmp_path / "cache").glob("*.json"))) == 1


def _hang_in_the_build(folder: str, reached: object) -> None:
    def build() -> dict[str, int]:
        reached.set()  # type: ignore[attr-defined]
        SPAWN.Event().wait()
        return {}

    cached(Path(folder), "x", {"a": 1}, build)


def _hang_in_the_write(folder: str, reached: object) -> None:
    def fsync(_: int) -> None:
        reached.set()  # type: ignore[attr-defined]
        SPAWN.Event().wait()

    os.fsync = fsync  # type: ignore[assignment]
    cached(Path(folder), "x", {"a": 1}, lambda: {"v": 1})


@pytest.mark.parametrize("hang", [_hang_in_the_build, _hang_in_the_write])
def test_a_killed_builder_releases_its_lock_and_leaves_no_partial_file(
    tmp_path: Path, hang
) -> None:
    reached = SPAWN.Event()
    builder = SPAWN.Process(target=hang, args=(str(tmp_path), reached))
    builder.start()
    assert reached.wait(120)
    assert not list(tmp_path.glob("*.json"))  # nothing under a final name yet
    builder.kill()
    builder.join()
    assert not list(tmp_path.glob("*.json"))
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": 2}) == {"v": 2}
    left = {path.suffix for path in tmp_path.iterdir()}
    assert left == {".json", ".lock"}  # the killed one's temporary file is gone too


def test_a_changed_letter_in_an_entry_is_detected(tmp_path: Path) -> None:
    cached(tmp_path, "x", {"a": 1}, lambda: {"v": "letters"})
    (entry,) = tmp_path.glob("*.json")
    entry.write_bytes(entry.read_bytes().replace(b"letters", b"lettezs"))
    assert cached(tmp_path, "x", {"a": 1}, lambda: {"v": "others"}) == {"v": "others"}


def test_entries_are_plain_json(tmp_path: Path) -> None:
    cached(tmp_path, "x", {"a": 1}, lambda: {"v": 1})
    (entry,) = tmp_path.glob("*.json")
    assert entry.read_bytes().splitlines()[1] == b'{"v": 1}'
