import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from en2py.data.files import remove_leftovers
from en2py.errors import Fault, UserError
from en2py.training.checkpoints import (
    FORMAT,
    AtomicCheckpointIO,
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


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.ckpt"
    AtomicCheckpointIO().save_checkpoint(content(), path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_checkpoint_comes_back_as_it_was(good: Path) -> None:
    loaded = load_checkpoint(good)
    assert torch.equal(loaded["state_dict"]["w"], content()["state_dict"]["w"])
    assert loaded["epoch"] == 3


def test_half_a_file_is_refused(good: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.ckpt"
    half.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    assert f"newest good one there is '{good}'" in refused(half)


@pytest.mark.parametrize("data", [b"", b"hello, I am a text\n" * 50, bytes(range(256)) * 40])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(data)
    refused(path)


def test_one_flipped_bit_is_found_wherever_it_lies(good: Path) -> None:
    data = good.read_bytes()
    weights = content()["state_dict"]["w"].numpy().tobytes()
    start = data.index(weights[:256])
    for place in range(start, start + len(weights), 997):
        flipped = bytearray(data)
        flipped[place] ^= 16
        good.write_bytes(flipped)
        assert "damaged" in refused(good)


def test_one_flipped_bit_is_found_also_where_it_would_change_nothing(good: Path) -> None:
    data = good.read_bytes()
    archive_end = range(len(data) - 120, len(data))  # the seal, its length, the zip's last record
    for place in (*range(0, len(data), 97), *archive_end):
        for bit in (1, 128):
            flipped = bytearray(data)
            flipped[place] ^= bit
            good.write_bytes(flipped)
            assert not is_valid(good), (place, bit)


def test_checkpoint_without_a_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    torch.save(content(), path)
    assert "its checksum differs" in refused(path)


def test_checkpoint_of_the_earlier_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    AtomicCheckpointIO().save_checkpoint(content() | {"en2py": {"format": 1, "run": "x"}}, path)
    assert "format 1" in (message := refused(path))
    assert "train it anew, or use the commit that wrote it" in message


def test_a_missing_file_names_the_newest_good_one(good: Path) -> None:
    assert str(good) in refused(good.with_name("god.ckpt"))


def test_a_strangers_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}}, path)
    assert "not written by en2py" in refused(path)


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
        refused(path)
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_keeps_the_earlier_file(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Fault, match="needs [0-9,]+ bytes") as caught:
        AtomicCheckpointIO().save_checkpoint(content(2.0), good)
    assert str(good) in str(caught.value)
    assert load_checkpoint(good)["state_dict"]["w"][0, 0] == 1.0
    assert list(good.parent.iterdir()) == [good]


def test_the_newest_good_one_is_found_and_leftovers_go(good: Path) -> None:
    (good.parent / "newer.ckpt").write_bytes(b"half")
    (good.parent / ".last.ckpt.abc.tmp").write_bytes(b"killed while writing")
    remove_leftovers(good.parent)
    assert newest_valid(good.parent) == good
    assert not list(good.parent.glob(".*"))
