"""What the folder of a run says: its state, result and figures."""

import json
import math
import os
import platform
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from en2py.config.composition import leaves, typed
from en2py.config.run_name import SCORING, TRAINING, archive_folder, has_digest, is_archived
from en2py.data.files import read_csv, read_table, write_atomically

# Environment variables, inherited by the worker processes of a launcher.
SWEEP_ID, SEARCH = "EN2PY_SWEEP", "EN2PY_SEARCH"
FINISHED, FAILED, INTERRUPTED, PRUNED = "finished", "failed", "interrupted", "pruned"
RUNNING, NOT_STARTED = "running", "not started"
_RESTARTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
_FULFILLED = ("checkpoints.keep=weights", "logger=csv")  # by a finished run
PATIENCE = 1.0  # seconds: a process that reads the state of a run holds its lock for an instant
# Minor versions parse different programs, and the data of a run may depend on it.
PYTHON = ".".join(platform.python_version_tuple()[:2])


@dataclass(frozen=True)
class State:
    """The state of a run.

    Attributes:
        status: One of the constants of this module.
        reason: Why it failed or was pruned, one sentence.
        code: Its exit code.
        other_python: Whether another minor version of Python finished it; its data may differ.
    """

    status: str
    reason: str = ""
    code: int = 0
    other_python: bool = False


def validation_limit(trainer: Mapping[str, Any], n_batches: float = math.inf) -> str:
    """Return `trainer.limit_val_batches=2` if a part of the validation pairs is left out.

    The number of their batches is infinity if it is not known.
    """
    limit = trainer.get("limit_val_batches")
    if limit is None or limit == 0:
        return ""
    is_whole = limit == 1 if isinstance(limit, float) else limit >= n_batches
    return "" if is_whole else f"trainer.limit_val_batches={limit}"


def begin_sweep() -> None:
    """Set the id of a sweep of this process, which `state.json` of its runs records."""
    os.environ[SWEEP_ID] = f"{os.getpid()}-{os.urandom(4).hex()}"


def in_sweep() -> bool:
    """Return whether this process executes a job of a sweep."""
    return SWEEP_ID in os.environ


def starts_again(fresh: bool) -> bool:
    """Return whether this process archives an earlier attempt of its run, as `fresh=true` asks.

    A sweep has archived it before it launched the run, and a restarted job when it began: both
    resume, so that no restart loses what was trained.
    """
    restarted = any(os.environ.get(name, "0") != "0" for name in _RESTARTS)
    return fresh and not in_sweep() and not restarted


def archive(folder: Path) -> None:
    """Rename the folder of an earlier attempt, unless a process is training in it."""
    if folder.exists():
        with suppress(Timeout), FileLock(lock_file(folder), timeout=PATIENCE):
            folder.rename(archive_folder(folder))


def read_state(folder: Path) -> State:
    """Return the state of the run in a folder."""
    if (result := read_result(folder)) is not None:
        return State(FINISHED, other_python=is_of_other_python(result))
    if _is_locked(folder):
        return State(RUNNING)
    record = read_record(folder / "state.json") or {}
    if record.get("reason"):
        status = PRUNED if record.get("pruned") else FAILED
        return State(status, str(record["reason"]), int(record["code"]))
    return State(INTERRUPTED if (folder / "config.yaml").exists() else NOT_STARTED)


def write_state(
    folder: Path, overrides: Sequence[str], reason: str, code: int, *, pruned: bool = False
) -> None:
    """Write `state.json` of a run of a sweep, see `Run.write_state`."""
    if not in_sweep():
        return
    record = {"sweep": os.environ[SWEEP_ID], "overrides": [*overrides], "time": time.time()}
    if reason:
        record |= {"reason": reason, "code": code, "pruned": pruned}
    write_atomically(folder / "state.json", json.dumps(record).encode())


def is_of_this_sweep(folder: Path) -> bool:
    """Return whether this sweep has begun the run in a folder, or found it finished."""
    record = read_record(folder / "state.json")
    return record is not None and record.get("sweep") == os.environ.get(SWEEP_ID)


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the result of the run in a folder; None if it is not finished."""
    record = read_record(folder / "result.json")
    if record is None or not has_digest(folder.name, str(record.get("config_sha256"))):
        return None
    return record


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config that a run was started with; empty if its file is missing or damaged."""
    try:
        stored = OmegaConf.create(read_table(folder / "config.yaml"))
        config: Any = OmegaConf.to_container(stored, resolve=True)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return {}
    return config if isinstance(config, dict) else {}


def settings_without_effect(
    folder: Path, config: Mapping[str, Any], overrides: Sequence[str], place: Path
) -> Iterator[str]:
    """Yield sentences on settings of a config that a finished run was not made with.

    They are keys that its name does not depend on: those of its scores, which an evaluation of
    `place` computes, and, where they are typed, those of its training.
    """
    if not (stored := dict(leaves(read_config(folder)))):
        return
    now = dict(leaves(config))
    other = [key for key in {**now, **stored} if typed(now.get(key)) != typed(stored.get(key))]
    if scoring := [key for key in SCORING if key in other and key in stored]:
        old, new = ([f"{key}={typed(side[key])}" for key in scoring] for side in (stored, now))
        command = shlex.join([f"ckpt_path={place}", *new])
        yield (
            f"the scores are those of {', '.join(old)}; python evaluate.py {command} computes "
            "the others"
        )
    for word in overrides:
        key = word.lstrip("+~").partition("=")[0].replace("/", ".")
        changed = any(f"{name}.".startswith(f"{key}.") for name in other)
        if key.startswith(TRAINING) and changed and word not in _FULFILLED:
            yield f"{word} acts on the training alone; fresh=true trains again"


def metrics_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return `val/...` and `train/...` of the best epoch, and `test/...` of its checkpoint."""
    found = {name: value for name, value in result["best"].items() if "/" in name}
    return found | {f"test/{name}": value for name, value in result["test"].items()}


def started_runs(study: Path) -> list[Path]:
    """Return the folders of the runs of a study that were started, without earlier attempts."""
    files = (path for file in ("config.yaml", "state.json") for path in study.glob(f"*/{file}"))
    return sorted({path.parent for path in files if not is_archived(path.parent.name)})


def is_of_other_python(result: Mapping[str, Any]) -> bool:
    """Return whether another minor version of Python made a result."""
    return bool(result.get("python", PYTHON) != PYTHON)


def machine_of(result: Mapping[str, Any]) -> str:
    """Return what `auto` chose where a run was trained, `cuda (bf16-mixed)`; empty if unknown."""
    if "device" not in result:
        return ""
    devices = f"{n} x " if (n := result["world_size"]) > 1 else ""
    return f"{devices}{result['device']} ({result['precision']})"


def lock_file(folder: Path) -> Path:
    """Return the file that the process of a run locks."""
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


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file that belong to an epoch, each without its gaps.

    There is none if the file cannot be read.
    """
    try:
        rows = [{name: float(cell) for name, cell in row.items()} for row in read_csv(path)]
    except (FileNotFoundError, ValueError):
        return []
    return [row for row in rows if "epoch" in row]


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file; None if it is missing or damaged."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
