"""Checkpoints that are whole or not there: written beside their target, synced, renamed, checked.

A checkpoint holds plain containers and tensors only, so it loads with `weights_only=True`: a file
from a stranger can be damaged or wrong, but it cannot run code.
"""

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from en2py.config.composition import Config
from en2py.data.files import atomic_file, disk_full, is_disk_full
from en2py.data.prepare import Prepared
from en2py.errors import UserError

FORMAT = 2  # raised when older checkpoints stop loading
_SEALED = "en2py_sealed"  # in every checkpoint that ends with a checksum of the whole file
_SEAL = 64  # characters of the checksum at the end of the file


class _Summed:
    """A file that counts and sums what goes into it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sum, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self.sum.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _write(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """Write a checkpoint with the checksum of the whole file as its end.

    A checkpoint is a zip archive, whose last field is a comment behind its own length.
    """
    summed: Any = _Summed(file)
    torch.save({**checkpoint, _SEALED: True}, summed)
    file.seek(-2, os.SEEK_END)
    file.write(_SEAL.to_bytes(2, "little") + summed.sum.hexdigest().encode())


def _size(checkpoint: dict[str, Any]) -> int:
    """Return how many bytes a checkpoint takes as a file."""
    with open(os.devnull, "wb") as nowhere:
        summed: Any = _Summed(nowhere)
        torch.save({**checkpoint, _SEALED: True}, summed)
        size: int = summed.size + _SEAL
    return size


def _seal_holds(path: Path) -> bool | None:
    """Tell whether a file is the one that its checksum was made of; None if it has none."""
    state, left = hashlib.sha256(), path.stat().st_size - _SEAL - 2
    with open(path, "rb") as file:
        while left > 0 and (piece := file.read(min(left, 1 << 20))):
            state.update(piece)
            left -= len(piece)
        length, seal = file.read(2), file.read()
    if length != _SEAL.to_bytes(2, "little"):
        return None
    state.update(bytes(2))  # the length of the comment, as the archive was written
    return state.hexdigest().encode() == seal


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's way to write and read checkpoints, with a checksum inside and an atomic rename.

    Lightning's own writes through the temporary folder: where that is another file system, a
    kill leaves a truncated file under the final name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint beside its target, sync it and rename it.

        Raises:
            Fault: If the disk is full; an earlier file of this name is as it was.
        """
        path = Path(path)
        try:
            with atomic_file(path) as file:
                _write(checkpoint, file)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # or the rename itself may be lost with the power
            finally:
                os.close(folder)
        except Exception as error:  # torch makes a RuntimeError of it
            if not is_disk_full(error):
                raise
            raise disk_full(path, _size(checkpoint)) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, **_: Any) -> dict[str, Any]:  # type: ignore[override]
        """Read a checkpoint and check it."""
        return load_checkpoint(path)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of ours onto the CPU, or say in one sentence why not.

    Raises:
        UserError: If the file is missing, damaged or not ours; it names the newest good one.
    """
    path = Path(path)
    try:
        return _load(path)
    except UserError as error:
        folder = path if path.is_dir() else path.parent
        other = newest_valid(folder) if folder.is_dir() else None
        hint = f"; the newest good one there is '{other}'" if other else ""
        raise UserError(f"{error}{hint}") from None


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"there is no checkpoint '{path}'")
    if path.is_dir():
        raise UserError(f"'{path}' is a folder, not a checkpoint")
    if path.stat().st_size == 0:
        raise UserError(f"the checkpoint '{path}' is empty (0 bytes)")
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":  # a zip archive
            raise UserError(f"'{path}' is not a checkpoint")
    seal = _seal_holds(path)
    if seal is False:
        raise UserError(f"the checkpoint '{path}' is damaged: its checksum differs")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"the checkpoint '{path}' is damaged or holds more than tensors and plain containers, "
            "and was not loaded"
        ) from None
    except Exception:  # whatever a damaged archive makes of the reader
        raise UserError(f"the checkpoint '{path}' is damaged, or only the start of one") from None
    record = checkpoint.get("en2py") if isinstance(checkpoint, dict) else None
    if not isinstance(record, dict):
        raise UserError(f"'{path}' was not written by en2py: it holds no 'en2py' record")
    if record.get("format") != FORMAT:
        raise UserError(
            f"the checkpoint '{path}' has format {record.get('format')} and this version reads "
            f"format {FORMAT} only, because the modules that its config names have moved: train it "
            "anew, or use the commit that wrote it"
        )
    if not (seal and checkpoint.pop(_SEALED, False)):
        raise UserError(f"the checkpoint '{path}' is damaged: its checksum differs")
    return checkpoint


def is_valid(path: Path) -> bool:
    """Tell whether a file is a whole checkpoint of ours."""
    try:
        _load(path)
    except UserError:
        return False
    return True


def newest_valid(folder: Path) -> Path | None:
    """Return the most recently written whole checkpoint of a folder."""
    files = sorted(folder.glob("*.ckpt"), key=lambda f: f.stat().st_mtime, reverse=True)
    return next((file for file in files if is_valid(file)), None)


def checkpoint_metadata(
    config: Config, choices: Mapping[str, str], prepared: Prepared, name: str
) -> dict[str, Any]:
    """Return what every checkpoint of a run carries besides weights, as plain containers."""
    return {
        "format": FORMAT,
        "run": name,
        "config": dict(config),
        "choices": dict(choices),
        "src_vocab": prepared.src_vocab.to_dict(),
        "tgt_vocab": prepared.tgt_vocab.to_dict(),
        "src_state": prepared.src_state,
        "tgt_state": prepared.tgt_state,
        "split_hash": prepared.split_hash,
    }
