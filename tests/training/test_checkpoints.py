import errno
import hashlib
import io
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from en2py.data.files import remove_leftovers
from en2py.errors import Fault, UserError
from en2py.training.checkpoints import (
    FORMAT,
    AtomicCheckpointIO,
    best_of,
    is_valid,
    load_checkpoint,
    newest_valid,
)


def content(value: float = 1.0) -> dict[str, Any]:
    return {
        "state_dict": {"w": torch.full((64, 64), value)},
        "en2py": {"format": FORMAT, "run": "x"},
        "epoch": 3,
    }


def add_checksum(path: Path) -> None:
    """Make a file pass the first check, so that the later ones are tested."""
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.ckpt"
    AtomicCheckpointIO().save_checkpoint(content(), path)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_loaded_checkpoint_equals_the_saved_one(good: Path) -> None:
    loaded = load_checkpoint(good)
    assert loaded.keys() == content().keys()
    assert torch.equal(loaded["state_dict"]["w"], content()["state_dict"]["w"])
    assert loaded["epoch"] == 3


def test_half_a_file_is_rejected(good: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.ckpt"
    half.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    assert f"the newest valid checkpoint there is '{good}'" in error_of(half)


@pytest.mark.parametrize("data", [b"", b"hello, I am a text\n" * 50, bytes(range(256)) * 40])
def test_other_files_are_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(data)
    assert "has no valid checksum: it is damaged, or was not written by" in error_of(path)
    add_checksum(path)
    assert "was not loaded: it is no archive of torch, or holds more" in error_of(path)


def test_a_flipped_bit_is_found_anywhere_in_the_file(good: Path) -> None:
    data = good.read_bytes()
    generator = random.Random(1)
    places = {generator.randrange(len(data) * 8) for _ in range(100)}
    archive_end = range((len(data) - 150) * 8, len(data) * 8, 13)  # directory of the zip, checksum
    for place in places | set(archive_end):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        good.write_bytes(flipped)
        assert not is_valid(good), place


def test_a_missing_file_names_the_newest_valid_checkpoint(good: Path) -> None:
    assert str(good) in error_of(good.with_name("god.ckpt"))


def test_a_checkpoint_of_another_program_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, path)
    assert "not written by en2py" in error_of(path)


def test_a_checkpoint_of_another_format_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    AtomicCheckpointIO().save_checkpoint({"en2py": {"format": FORMAT - 1}}, path)
    assert f"has format {FORMAT - 1} and this version reads format {FORMAT}" in error_of(path)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("ran", "w"))


def test_a_payload_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**content(), "callbacks": Payload()}, tmp_path / "new.ckpt")
    torch.save({**content(), "hyper_parameters": Payload()}, tmp_path / "hyper.ckpt")
    torch.save(content() | {"x": Payload()}, tmp_path / "old.ckpt",
               _use_new_zipfile_serialization=False)  # fmt: skip
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Payload()))
    for path in tmp_path.glob("*.ckpt"):
        add_checksum(path)
        error_of(path)
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_keeps_the_earlier_file(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Fault, match="needs at least 16,384 bytes") as caught:
        AtomicCheckpointIO().save_checkpoint(content(2.0), good)
    assert str(good) in str(caught.value)
    assert load_checkpoint(good)["state_dict"]["w"][0, 0] == 1.0
    assert list(good.parent.iterdir()) == [good]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full: .* are free; .* free some space"),
        (errno.EDQUOT, "the disk quota of this account is used up: .* bytes; .* free some space"),
        (errno.EFBIG, "this shell limits the size of a file: .* raise the limit .ulimit -f"),
    ],
)
def test_what_keeps_a_file_from_growing_is_named(
    code: int, words: str, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, data: bytes) -> int:
        raise OSError(code, "refused")

    writer = type("Writer", (io.BytesIO,), {"write": refuse})
    monkeypatch.setattr("os.fdopen", lambda *_: writer())
    with pytest.raises(Fault, match=words):
        AtomicCheckpointIO().save_checkpoint(content(2.0), good)


def test_the_newest_valid_checkpoint_is_found_and_leftovers_are_deleted(good: Path) -> None:
    (good.parent / "newer.ckpt").write_bytes(b"half")
    (good.parent / ".last.ckpt.abc.tmp").write_bytes(b"killed while writing")
    remove_leftovers(good.parent)
    assert newest_valid(good.parent) == good
    assert not list(good.parent.glob(".*"))


def test_a_run_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    assert best_of(tmp_path) == tmp_path
    best = tmp_path / "checkpoints" / "best.ckpt"
    best.parent.mkdir()
    best.touch()
    assert best_of(tmp_path) == best_of(best) == best


def test_the_folder_of_a_finished_run_without_a_validation_stands_for_its_last_checkpoint(
    tmp_path: Path,
) -> None:
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    assert best_of(tmp_path) == tmp_path
    (tmp_path / "result.json").touch()
    assert best_of(tmp_path) == last
