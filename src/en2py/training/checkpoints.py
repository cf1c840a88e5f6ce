"""Write checkpoints atomically with a checksum, and validate them before they are loaded.

A checkpoint holds plain containers and tensors only, so it loads with `weights_only=True`: an
untrusted file can be damaged or wrong, but it cannot run code.
"""

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.utils._pytree import tree_leaves

from en2py.config.composition import DATA_FILES, Config, leaves, mapped
from en2py.data.files import atomic_file, disk_full, file_digest, is_disk_full
from en2py.data.prepare import Prepared
from en2py.errors import UserError

FORMAT = 2  # raised when older checkpoints stop loading
_WEIGHTS = ("epoch", "global_step", "pytorch-lightning_version", "state_dict", "en2py")
_CHECKSUM_BYTES = 32  # SHA-256 of all bytes before, at the end of the file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint reader and writer, with a checksum and an atomic rename.

    Lightning's own writes through the temporary folder: where that is another file system, a
    kill leaves a truncated file under the final name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint beside its target, sync it and rename it.

        `zipfile.testzip` is no replacement for the checksum: it does not see changed bits in the
        headers of the archive.

        Raises:
            Fault: If the disk is full; an earlier file of this name is unchanged.
        """
        path = Path(path)
        try:
            with atomic_file(path) as file:
                torch.save(checkpoint, file)
                file.seek(0)
                checksum = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
                file.write(checksum.digest())
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # or the rename itself may be lost in a power cut
            finally:
                os.close(folder)
        except Exception as error:  # torch turns an OSError into a RuntimeError
            if not is_disk_full(error):
                raise
            tensors = [leaf for leaf in tree_leaves(checkpoint) if isinstance(leaf, Tensor)]
            raise disk_full(path, sum(tensor.nbytes for tensor in tensors), error) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, **_: Any) -> dict[str, Any]:  # type: ignore[override]
        """Validate and load a checkpoint."""
        return load_checkpoint(path)


def best_of(path: str | Path) -> Path:
    """Return the best checkpoint of a run folder; any other path as it is, `~` expanded.

    That of a finished run without a validation is its last one.
    """
    path = Path(os.path.expanduser(path))
    stems = ["best", *["last"] * (path / "result.json").is_file()]
    files = [path / "checkpoints" / f"{stem}.ckpt" for stem in stems]
    return next(filter(Path.is_file, files), path)


def load_checkpoint(path: str | Path, *, mmap: bool = False) -> dict[str, Any]:
    """Load a checkpoint of this version onto the CPU.

    The files of pieces in its config are as they are found today, see `locate_pieces`.

    Args:
        path: The file; `~` is the home folder.
        mmap: Map tensors from the file instead of reading them into memory.

    Raises:
        UserError: If the file is missing, damaged or not a checkpoint of this version; the message
            names the newest valid checkpoint of the folder.
    """
    checkpoint = _as_stored(path := Path(os.path.expanduser(path)), mmap)
    if "tokenizer" in (config := checkpoint["en2py"].get("config", {})):
        config["tokenizer"] = locate_pieces(config["tokenizer"], path)
    return checkpoint


def _as_stored(path: Path, mmap: bool = False) -> dict[str, Any]:
    try:
        return _load(path, mmap)
    except UserError as error:
        folder = path if path.is_dir() else path.parent
        other = newest_valid(folder) if folder.is_dir() else None
        hint = f"; the newest valid checkpoint there is '{other}'" if other else ""
        raise UserError(f"{error}{hint}") from None


def _load(path: Path, mmap: bool = False) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"there is no checkpoint '{path}'")
    if path.is_dir():
        raise UserError(f"'{path}' is a folder, not a checkpoint; name RUN/checkpoints/best.ckpt")
    if not _has_valid_checksum(path):
        raise UserError(
            f"'{path}' has no valid checksum: it is damaged, or was not written by this version of "
            "en2py; name another checkpoint, best.ckpt or last.ckpt of a run"
        )
    mmap = mmap and str(path).encode(errors="replace") == os.fsencode(path)  # torch needs UTF-8
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception:  # anybody can write a valid checksum
        raise UserError(
            f"'{path}' was not loaded: it is no archive of torch, or holds more than tensors and "
            "plain containers"
        ) from None
    record = checkpoint.get("en2py") if isinstance(checkpoint, dict) else None
    if not isinstance(record, dict):
        raise UserError(f"'{path}' was not written by en2py: it holds no 'en2py' record")
    if record.get("format") != FORMAT:
        raise UserError(
            f"the checkpoint '{path}' has format {record.get('format')} and this version reads "
            f"format {FORMAT}: train it again, or use the version that wrote it"
        )
    loaded: dict[str, Any] = checkpoint
    return loaded


def _has_valid_checksum(path: Path) -> bool:
    content = memoryview(path.read_bytes())
    body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    return hashlib.sha256(body).digest() == checksum


def is_valid(path: Path) -> bool:
    """Return whether a file is a whole checkpoint of this version."""
    try:
        _load(path)
    except UserError:
        return False
    return True


def newest_valid(folder: Path, *, whole: bool = False) -> Path | None:
    """Return the newest valid checkpoint of a folder; `whole`: of those with more than weights."""
    for file in sorted(folder.glob("*.ckpt"), key=lambda f: f.stat().st_mtime, reverse=True):
        try:
            checkpoint = _load(file)
        except UserError:
            continue
        if not whole or is_whole(checkpoint):
            return file
    return None


def is_whole(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether training can resume from a checkpoint: it holds more than weights."""
    return "optimizer_states" in checkpoint


def keep_weights(path: Path) -> None:
    """Rewrite a checkpoint without the state of its training."""
    checkpoint = _as_stored(path)
    if is_whole(checkpoint):
        kept = {key: checkpoint[key] for key in _WEIGHTS}
        AtomicCheckpointIO().save_checkpoint(kept, path)


def discard_training_state(folder: Path) -> bool:
    """Keep the weights alone of a finished run: no `last.ckpt` where there is a `best.ckpt`.

    Returns:
        Whether there was more.

    Raises:
        UserError: If a checkpoint is damaged; the last one stays then.
    """
    before = {path: path.stat().st_size for path in folder.glob("*.ckpt")}
    last = {folder / "last.ckpt"} if (folder / "best.ckpt").exists() else set[Path]()
    for path in {*folder.glob("*.ckpt")} - last:
        keep_weights(path)
    for path in last:  # now, for a damaged best.ckpt is refused above
        path.unlink(missing_ok=True)
    return before != {path: path.stat().st_size for path in folder.glob("*.ckpt")}


def checkpoint_metadata(
    config: Config, choices: Mapping[str, str], prepared: Prepared, name: str
) -> dict[str, Any]:
    """Return the plain containers that every checkpoint of a run stores besides its weights."""
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
        "files": {
            path: [str(Path(path).expanduser().resolve()), file_digest(Path(path).expanduser())]
            for path in _data_paths(config["data"])
            if Path(path).expanduser().exists()
        },
    }


def locate_data(
    config: Config,
    files: Mapping[str, tuple[str, str]],
    checkpoint: str | Path,
    remedy: str = "",
) -> dict[str, Any]:
    """Return a config's data section with the paths of its files as they are found today.

    A file of the typed path and the stored content comes first, then one of the absolute path at
    the time of training, then another file of the typed path, which is reported with the results.

    Args:
        config: The stored config with the changes of the command line.
        files: Typed path to absolute path and SHA-256, of the checkpoint's metadata.
        checkpoint: Its file, for the message.
        remedy: What to do if there is no file; empty: name its place by `data.path`.

    Raises:
        UserError: If there is no file.
    """

    def present(option: str, path: str) -> str:
        absolute, sha256 = files.get(path, ("", ""))
        found = [place for place in (path, absolute) if place and Path(place).expanduser().exists()]
        same = [place for place in found if file_digest(Path(place).expanduser()) == sha256]
        if not found:
            before = f", which was {absolute}" if absolute not in ("", path) else ""
            place = f"{option} names its present place" if option else "put it there again"
            raise UserError(
                f"{path} does not exist: it is the training data of '{checkpoint}'{before}; "
                f"{remedy or place}"
            )
        return (same or found)[0]

    def located(section: Any, option: str = "data.path=FILE", are_sources: bool = False) -> Any:
        if not isinstance(section, Mapping):
            return section
        found = {}
        for name, value in section.items():
            written = f"'data.path={{{name}:FILE}}'" if are_sources else option
            written = "" if name == "target" else written  # which no override names
            if name in DATA_FILES:  # a file, several, or one per split
                if isinstance(value, Mapping) and written == "data.path=FILE":
                    written = f"'data.path={{{','.join(f'{part}:FILE' for part in value)}}}'"
                found[name] = mapped(value, partial(present, written))
            else:
                found[name] = located(value, written, are_sources=name == "sources")
        return found

    data: dict[str, Any] = located(config["data"])
    return data


def locate_pieces(section: Any, checkpoint: str | Path) -> Any:
    """Return a tokenizer section with its files of pieces as they are found today.

    A run keeps a copy of its pieces, which replaces a file of the typed path that is gone.
    """
    copy = Path(checkpoint).resolve().parents[1] / "vocab" / "pieces.json"
    if not isinstance(section, Mapping) or not copy.is_file():
        return section
    is_gone = isinstance(path := section.get("path"), str) and not Path(path).expanduser().exists()
    found = {name: locate_pieces(value, checkpoint) for name, value in section.items()}
    return found | ({"path": str(copy)} if is_gone else {})


def _data_paths(data: Config) -> list[str]:
    """Return the paths of files and folders in a data section: of `path`, `root`, and by split."""
    paths = (value for key, value in leaves(data) if {*DATA_FILES} & {*key.split(".")})
    several = (value if isinstance(value, list) else [value] for value in paths)
    return [path for path in chain.from_iterable(several) if isinstance(path, str)]
