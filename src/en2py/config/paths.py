"""Validate the paths of a config: what is read exists, what is written to is writable."""

import glob
import os
import re
from pathlib import Path
from typing import Any

from en2py.config.composition import CHECKPOINTS, READ, SWEPT, WRITTEN
from en2py.config.instantiate import class_of
from en2py.config.overrides import comma_separated
from en2py.config.value_types import Section
from en2py.errors import UserError, nearest


def expand_paths(text: str) -> list[Path]:
    """Return the files that a path, a comma list or a glob pattern names.

    A file of exactly this name comes first; else they are in the order given, those of a pattern
    sorted, and a missing one as it was written.
    """
    if Path(text).exists():
        return [Path(text)]
    found: list[Path] = []
    for part in comma_separated(text):
        part = os.path.expanduser(part)
        found += [Path(p) for p in sorted(glob.glob(part, recursive=True))] or [Path(part)]
    return found


def check_path(key: str, value: Any, config: Section, *, several: bool) -> None:
    """Check a path that is read or written to.

    Raises:
        UserError: If it does not exist, is of the wrong kind, is empty or not writable.
    """
    if not isinstance(value, str):
        return
    name = "path" if key.startswith("data.path.") else key.rpartition(".")[2]  # one per split
    if name in WRITTEN and "." not in key:
        _check_written(key, Path(value))
    elif name in READ:
        if re.match(r"\w+://", value):
            raise UserError(f"{key}={value}: a URL; download it, and name the file: {key}=FILE")
        if several and name == "ckpt_path":  # files and folders
            for path in expand_paths(value):
                check_exists(key, path)
            return
        if "," in value and not Path(value).exists():
            lists = f"several folders are a list, '{key}=[A,B]'"
            if not (key == "data.path" and reads_folders(key, config)):
                lists = _lists_of(key)
            raise UserError(f"{key}={value}: there is no file of this name; {lists}")
        check_exists(key, path := Path(value))
        if not (_is_dataset(key, path) or (several and key.startswith("data."))):
            _check_kind(key, name, path, is_folder=name == "root" or reads_folders(key, config))
        is_empty = path.is_file() and path.stat().st_size == 0
        if is_empty and name not in CHECKPOINTS:  # its loader names the newest valid one
            raise UserError(f"{key}={path}: this file is empty")


def _check_written(key: str, path: Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    while not path.exists():
        path = path.parent
    if not path.is_dir():
        raise UserError(f"{key}: {path} is a file, expected a folder")
    if not os.access(path, os.W_OK):
        raise UserError(f"{key}: {path} is not writable; use another folder: {key}=FOLDER")


def check_exists(key: str, path: Path) -> None:
    """Refuse a missing path with the nearest one, such as `outputs/losses` for the study `losses`.

    Raises:
        UserError: If it does not exist.
    """
    if path.exists():
        return
    in_outputs = Path("outputs") / path
    while not path.parent.exists():
        path = path.parent
    if path.parent.is_file():
        raise UserError(f"{key}={path}: {path.parent} is a file, not a folder")
    hint = nearest(path.name, sorted(entry.name for entry in path.parent.iterdir())[:10_000])
    if in_outputs.exists():
        hint = f"; did you mean '{in_outputs}'?"
    raise UserError(f"{key}: {path} does not exist (looked in {path.parent.resolve()}){hint}")


def _check_kind(key: str, name: str, path: Path, *, is_folder: bool) -> None:
    """Refuse a folder in place of a file, and the reverse."""
    if path.is_dir() == is_folder:
        return
    found, expected = ("file", "folder") if is_folder else ("folder", "file")
    checkpoint = path / "checkpoints" / ("last.ckpt" if name == "ckpt_path" else "best.ckpt")
    hint = f": {key}={checkpoint}" if name in CHECKPOINTS and checkpoint.is_file() else ""
    raise UserError(f"{key}={path}: this is a {found}, expected a {expected}{hint}")


def reads_folders(key: str, config: Section) -> bool:
    """Return whether a path belongs to a source of folders."""
    section: Any = config
    for name in key.split(".")[:-1]:
        section = section[name]
    reader = section if "_target_" in section else section.get("source")
    return key.startswith("data.") and class_of(reader) == "read_corpus"


def _is_dataset(key: str, path: Path) -> bool:
    """Return whether a path of data is a folder that Hugging Face `datasets` saved."""
    is_saved = any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
    return key.startswith("data.") and is_saved


def _lists_of(key: str) -> str:
    """Return how several files are named, for a key that takes one."""
    if key == "data.path":
        return (
            "several files are a sweep with -m, or 'data.path={train:FILE,val:FILE,test:FILE}' "
            "with split=official"
        )
    sweep = "; several are a sweep with -m" if key.rpartition(".")[2] in SWEPT else ""
    return f"it takes one file{sweep}"


def written_keys(config: Section) -> tuple[str, ...]:
    """Return the keys of `WRITTEN` whose folders a command writes to."""
    if config.get("prompt") is not None or config.get("prompts") is not None:
        return ()
    if config.get("export"):
        return ("export",)
    if config.get("results") or "baselines" in config and config.get("study"):
        return ("folder",)
    # One checkpoint is evaluated beside itself.
    beside = "baselines" in config and Path(str(config.get("ckpt_path"))).is_file()
    return ("cache", "folder") if beside or config.get("folder") else WRITTEN
