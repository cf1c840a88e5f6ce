"""The folder of a run: its name, lock, inputs, state and result."""

import json
import math
import os
import platform
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from en2py.config.composition import choices_of, escape, leaves, typed
from en2py.config.overrides import task_overrides
from en2py.config.run_name import (
    SCORING,
    TRAINING,
    archive_folder,
    config_digest,
    has_digest,
    is_archived,
    run_name,
)
from en2py.data.files import make_folder, read_csv, read_table, write_atomically
from en2py.errors import UserError

if TYPE_CHECKING:  # torch takes seconds
    from pytorch_lightning import Trainer

    from en2py.data.prepare import Prepared

# Environment variables, inherited by the worker processes of a launcher.
SWEEP_ID, SEARCH = "EN2PY_SWEEP", "EN2PY_SEARCH"
FINISHED, FAILED, INTERRUPTED, PRUNED = "finished", "failed", "interrupted", "pruned"
RUNNING, NOT_STARTED = "running", "not started"
_RESTARTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
_FULFILLED = ("checkpoints.keep=weights", "logger=csv")  # by a finished run
_PATIENCE = 1.0  # seconds: a process that reads the state of a run holds its lock for an instant
# Minor versions parse different programs, and the data of a run may depend on it.
PYTHON = ".".join(platform.python_version_tuple()[:2])


class Run:
    """A run: its config, name and folder. Creating it writes nothing.

    Args:
        cfg: The composed config.
        overrides: Those of the command line, as typed.
        choices: The chosen option of each group.
    """

    def __init__(self, cfg: DictConfig, overrides: list[str], choices: dict[str, str]) -> None:
        from en2py.config.validation import resolved  # pydantic takes a moment

        self.checkpoint: dict[str, Any] | None = None
        self.initial: dict[str, Any] | None = None  # the checkpoint of `init_from`
        if cfg.ckpt_path:
            from en2py.training.checkpoints import load_checkpoint  # torch takes seconds
            from en2py.training.resume import resumed_config

            self.checkpoint = load_checkpoint(cfg.ckpt_path)
            cfg, choices = resumed_config(cfg, overrides, choices, self.checkpoint)
        elif cfg.init_from:
            from en2py.training.checkpoints import load_checkpoint

            self.initial = load_checkpoint(cfg.init_from, mmap=True)
        self.config = resolved(cfg)
        self.overrides, self.choices = overrides, choices
        self.name = run_name(self.config, choices)
        self.folder = Path(self.config["output"]) / self.config["study"] / self.name
        self.result_file = self.folder / "result.json"

    @classmethod
    def of_job(cls, cfg: DictConfig) -> "Run":
        """Return the run of the job that Hydra executes."""
        return cls(cfg, task_overrides(), choices_of(HydraConfig.get()))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for the block; if it is refused there, remove what it has written so far.

        Raises:
            UserError: If another process holds it, or no folder can be created there.
        """
        from en2py.training.distributed import is_rank_zero  # torch takes seconds

        if not is_rank_zero():  # rank 0 holds it for all
            yield
            return
        new = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        make_folder(self.folder.parent, "output")
        lock = FileLock(lock_file(self.folder), timeout=_PATIENCE)
        try:
            with lock, self._removed_if_refused(new):
                yield
        except Timeout:
            raise UserError(
                f"this run is already running in another process: {self.folder}; "
                "wait for it, or change an option, for example seed=2"
            ) from None

    @contextmanager
    def _removed_if_refused(self, new: list[Path]) -> Iterator[None]:
        """Remove the folders made for a run that is refused; a sweep reads its state there."""
        try:
            yield
        except UserError:
            if self.folder in new and not in_sweep() and not any(self.folder.glob("checkpoints/*")):
                shutil.rmtree(self.folder, ignore_errors=True)
                lock_file(self.folder).unlink(missing_ok=True)
                for folder in new[1:]:
                    with suppress(OSError):  # it has other files
                        folder.rmdir()
            raise

    def begin(self, *, archive: bool) -> None:
        """Write the state, after archiving the folder of an earlier attempt if requested."""
        if archive and self.folder.exists():
            self.folder.rename(archive_folder(self.folder))
        self.write_state()

    def write_state(self, reason: str = "", code: int = 0, *, pruned: bool = False) -> None:
        """Write to `state.json` that this sweep executed the run, and how it failed if it did.

        Outside of a sweep, write nothing. The reason is why it failed, or why a search pruned it,
        in one sentence; the code is that of its exit.
        """
        if not in_sweep():
            return
        record = {"sweep": os.environ[SWEEP_ID], "overrides": self.overrides, "time": time.time()}
        if reason:
            record |= {"reason": reason, "code": code, "pruned": pruned}
        write_atomically(self.folder / "state.json", json.dumps(record).encode())

    def write_inputs(self, prepared: "Prepared") -> None:
        """Write what is known before training: config, overrides, vocabularies, data report."""
        report = {**prepared.report.to_dict(), "split_hash": prepared.split_hash}
        texts = {
            "config.yaml": OmegaConf.to_yaml(escape(self.config)),
            "overrides.txt": "".join(f"{override}\n" for override in self.overrides),
            "data_report.json": json.dumps(report, indent=1),
        }
        for side, vocab in (("src", prepared.src_vocab), ("tgt", prepared.tgt_vocab)):
            counts = dict(zip(vocab.tokens, vocab.counts, strict=True))
            texts[f"vocab/{side}.json"] = json.dumps(counts, indent=0, ensure_ascii=False)
        if "shared_pieces" in prepared.tgt_state:  # for tokenizer.path of other runs
            texts["vocab/pieces.json"] = json.dumps(prepared.tgt_state)
        for name, text in texts.items():
            write_atomically(self.folder / name, text.encode("utf-8", "backslashreplace"))

    def write_result(
        self,
        prepared: "Prepared",
        best: Mapping[str, Any],
        test: Mapping[str, Any],
        trainer: "Trainer",
        seconds: tuple[float, float],
    ) -> dict[str, Any]:
        """Write `result.json`, which marks the run as finished, and return its content.

        It has the scores of the best checkpoint on the test split, and the seconds of preparation
        with training and of testing. The trainer's first logger has the rows of `metrics.csv`.
        """
        from en2py.training.end_reason import training_end  # torch takes seconds

        logger: Any = trainer.loggers[0]
        loader, _ = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        epoch = int(best["epoch"]) + 1
        # Validations within an epoch are of other weights; the last one chose the checkpoint.
        rows = [r for r in logger.rows if r.get("val/nll") and r.get("epoch") == str(epoch)]
        row: dict[str, str] = rows[-1] if rows else {}
        result = {
            "run": self.name,
            "study": self.config["study"],
            "choices": self.choices,
            "overrides": self.overrides,
            "seed": self.config["seed"],
            "config_sha256": config_digest(self.config),
            "split_hash": prepared.split_hash,
            "held_out_hash": prepared.held_out_hash(),
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "end": training_end(trainer),
            "best": {k: float(v) for k, v in row.items() if v} | {"epoch": epoch},
            "test": dict(test),
            "validation_limit": validation_limit(self.config["trainer"], len(loader)),
            "allowed_packages": self.config["allowed_packages"],
            "python": PYTHON,
            "device": trainer.strategy.root_device.type,
            "world_size": trainer.world_size,
            "precision": str(trainer.precision),
            "versions": {n: metadata.version(n) for n in ("en2py", "torch", "pytorch-lightning")},
            "seconds": round(seconds[0], 1),
            "test_seconds": round(seconds[1], 1),
        }
        write_atomically(self.result_file, json.dumps(result, indent=2).encode())
        return result


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
        with suppress(Timeout), FileLock(lock_file(folder), timeout=_PATIENCE):
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


def settings_without_effect(
    folder: Path, config: Mapping[str, Any], overrides: Sequence[str], place: Path
) -> Iterator[str]:
    """Yield sentences on settings of a config that a finished run was not made with.

    They are keys that its name does not depend on: those of its scores, which an evaluation of
    `place` computes, and, where they are typed, those of its training.
    """
    with suppress(OSError, ValueError, YAMLError):
        stored = dict(leaves(read_table(folder / "config.yaml")))
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
