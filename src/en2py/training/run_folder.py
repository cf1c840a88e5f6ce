"""The folder of a run: its state, lock and result."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from en2py.config.run_name import (
    archive_folder,
    config_digest,
    has_digest,
    n_archived,
    run_name,
    wandb_id,
)
from en2py.data.files import write_atomically
from en2py.errors import UserError


class Run:
    """A run's place and name; made before anything is written.

    Args:
        cfg: The composed config.
        overrides: As typed.
        choices: The option taken in each group.
    """

    def __init__(self, cfg: DictConfig, overrides: list[str], choices: dict[str, str]) -> None:
        self.checkpoint: dict[str, Any] | None = None
        if cfg.ckpt_path:
            from en2py.training.checkpoints import load_checkpoint  # torch takes seconds
            from en2py.training.resume import resumed_config

            self.checkpoint = load_checkpoint(cfg.ckpt_path)
            cfg, choices = resumed_config(cfg, overrides, choices, self.checkpoint)
        self.config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        self.overrides, self.choices = overrides, choices
        self.name = run_name(self.config, choices)
        self.folder = Path(self.config["output"]) / self.config["study"] / self.name
        self.result_file = self.folder / "result.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run's lock; a second process with the very same choices is told so."""
        from en2py.training.distributed import is_rank_zero  # torch takes seconds

        if not is_rank_zero():  # the first rank holds it for all
            yield
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_file(self.folder), timeout=0)
        try:
            with lock:
                yield
        except Timeout:
            raise UserError(
                f"this very run is going on in another process: {self.folder}; "
                "wait for it, or change a choice (seed=2, say)"
            ) from None

    def stored_result(self) -> dict[str, Any] | None:
        """Return the stored result of a run that came to its end."""
        try:
            result: dict[str, Any] = json.loads(self.result_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return result if result.get("config_sha256") == config_digest(self.config) else None

    def n_archived(self) -> int:
        """Count the earlier attempts that `fresh=true` set aside."""
        return n_archived(self.folder)

    def archive(self) -> None:
        """Move the folder of an earlier attempt out of the way, keeping it."""
        if self.folder.exists():
            self.folder.rename(archive_folder(self.folder))

    def wandb_id(self) -> str:
        """Return the W&B id: the same run goes on under it, a fresh one gets another."""
        return wandb_id(self.config["study"], self.name, self.n_archived())


SWEEP_ID = "EN2PY_SWEEP"  # inherited by the worker processes of a launcher


FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"


RUNNING, NOT_STARTED = "running", "not started"


@dataclass(frozen=True)
class State:
    """What became of a run.

    Attributes:
        status: One of the words above.
        reason: Of a failure, one sentence.
        code: The exit code of that run alone.
    """

    status: str
    reason: str = ""
    code: int = 0


def begin_sweep() -> None:
    """Give the sweep of this process a name that its runs can sign with."""
    os.environ[SWEEP_ID] = f"{os.getpid()}-{os.urandom(4).hex()}"


def folder_for(cfg: DictConfig, overrides: list[str], choices: Mapping[str, str]) -> Path:
    """Return the folder that a run will have, before anything is trained."""
    if cfg.get("ckpt_path"):
        pass

        return Path(Run(cfg, overrides, dict(choices)).folder)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    name = run_name(config, choices)
    return Path(config["output"], config["study"], name)


def write_state(folder: Path, overrides: Sequence[str], reason: str = "", code: int = 0) -> None:
    """Note in a run's folder that the sweep that is on took it up, and how it failed if it did."""
    if SWEEP_ID not in os.environ:
        return
    record = {"sweep": os.environ.get(SWEEP_ID), "overrides": list(overrides), "time": time.time()}
    if reason:
        record |= {"reason": reason, "code": code}
    write_atomically(folder / "state.json", json.dumps(record).encode())


def read_state(folder: Path) -> State:
    """Tell what became of the run of a folder."""
    if read_result(folder) is not None:
        return State(FINISHED)
    if _is_locked(folder):
        return State(RUNNING)
    record = _read(folder / "state.json") or {}
    if record.get("reason"):
        return State(FAILED, str(record["reason"]), int(record["code"]))
    return State(INTERRUPTED if (folder / "config.yaml").exists() else NOT_STARTED)


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the stored result of a run that came to its end."""
    record = _read(folder / "result.json")
    if record is None or not has_digest(folder.name, str(record.get("config_sha256"))):
        return None
    return record


def lock_file(folder: Path) -> Path:
    """Return the file that whoever trains a run holds locked."""
    return folder.parent / f".{folder.name}.lock"


def _is_locked(folder: Path) -> bool:
    path = lock_file(folder)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
