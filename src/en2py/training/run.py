"""A run: its config, name and folder, and what it writes there."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from en2py.config.composition import choices_of, escape
from en2py.config.overrides import task_overrides
from en2py.config.run_name import all_digests, archive_folder, run_name
from en2py.data.files import make_folder, write_atomically
from en2py.errors import UserError
from en2py.training.run_folder import (
    PATIENCE,
    PYTHON,
    in_sweep,
    lock_file,
    validation_limit,
    write_state,
)

if TYPE_CHECKING:  # torch takes seconds
    from pytorch_lightning import Trainer

    from en2py.data.prepare import Prepared


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
        # Now, for files that it names may change or move while it is trained.
        self.config_sha256, self.contents = all_digests(self.config)
        self.name = run_name(self.config, choices, self.config_sha256)
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
        lock = FileLock(lock_file(self.folder), timeout=PATIENCE)
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
        write_state(self.folder, self.overrides, reason, code, pruned=pruned)

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
            "config_sha256": self.config_sha256,
            "contents": self.contents,
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
