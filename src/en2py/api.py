"""Compose configs and train from Python: `en2py.compose`, `en2py.train`."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from en2py.config.composition import compose_config, job_of
from en2py.config.contradictions import starts_ranks
from en2py.config.messages import exit_code, user_message
from en2py.config.overrides import python_overrides, unquoted
from en2py.config.validation import validate
from en2py.console import configure_logging
from en2py.errors import Fault, UserError
from en2py.training.run import Run
from en2py.training.run_folder import metrics_of, read_result

if TYPE_CHECKING:
    from en2py.training.module import Seq2SeqModule


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        folder: The folder with all its files.
        result: The content of `result.json`.
    """

    folder: Path
    result: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """Return `val/...` and `train/...` of the best epoch, and `test/...` of its checkpoint."""
        return metrics_of(self.result)

    @property
    def checkpoint(self) -> Path:
        """Return the best checkpoint; the last one of a run without validation."""
        folder = self.folder / "checkpoints"
        best = folder / "best.ckpt"
        return best if best.exists() else folder / "last.ckpt"

    @cached_property
    def model(self) -> "Seq2SeqModule":
        """Return the module of the best checkpoint, ready to generate."""
        from en2py.training.build import load  # torch takes seconds

        return load(self.checkpoint)

    def __repr__(self) -> str:
        """Return the folder and the validation NLL."""
        nll = self.metrics.get("val/nll")
        return f"TrainedRun({str(self.folder)!r}" + (f", val/nll={nll:.3f})" if nll else ")")


def compose(*overrides: str, **settings: Any) -> DictConfig:
    """Return the config of a run, validated as by train.py.

    Args:
        overrides: `key=value`, as on the command line.
        settings: The same as keywords; the keys of a section are a dict.

    Raises:
        UserError: For a mistake; the message has the value, the reason and the remedy.

    Example:
        `en2py.compose("loss=smoothed", trainer={"max_epochs": 3})`
    """
    with _as_overrides(overrides, settings) as words, _validated(words) as cfg:
        return cfg


def train(*overrides: str, **settings: Any) -> TrainedRun:
    """Train and test one run as train.py does: a finished run is returned, another one resumed.

    Args:
        overrides: `key=value`, as on the command line.
        settings: The same as keywords; the keys of a section are a dict.

    Raises:
        UserError: For a mistake; nothing is written.
        Fault: For a fault of the machine or of training; the same call resumes.
        KeyboardInterrupt: If training was interrupted; the same call without fresh=True resumes.

    Example:
        `en2py.train("loss=smoothed", "data=file", "data.path=pairs.jsonl")`
    """
    configure_logging()
    with _as_overrides(overrides, settings) as words, _validated(words) as cfg:
        if starts_ranks(cfg.trainer):
            raise UserError(
                f"trainer.devices={cfg.trainer.devices}: several processes are started by the "
                f"command line: python train.py {shlex.join(map(unquoted, words))}"
            )
        try:
            from en2py.cli.train import train as train_run  # torch takes seconds

            folder = Run.of_job(cfg).folder.absolute()
            train_run(cfg)
        except SystemExit as stop:  # a signal, after a checkpoint was saved
            same = "the same call without fresh=True" if cfg.fresh else "the same call"
            raise KeyboardInterrupt(f"interrupted; {same} resumes") from stop
        result = read_result(folder)
        assert result is not None
        return TrainedRun(folder, result)


@contextmanager
def _validated(words: list[str]) -> Iterator[DictConfig]:
    """Yield the validated config of a run as that of Hydra's job."""
    with job_of(compose_config("train", words)) as cfg:
        validate(cfg)
        yield cfg


@contextmanager
def _as_overrides(words: Sequence[str], settings: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the overrides of a call; raise mistakes as the sentence of the command line."""
    overrides: list[str] = []
    try:
        overrides = python_overrides(words, settings)
        yield overrides
    except (UserError, Fault):
        raise
    except Exception as error:
        message = user_message(error, "train", overrides)
        if message is None:
            raise
        raise (Fault if exit_code(error) == 1 else UserError)(message) from None
