"""A logger for W&B whose failures do not stop a run."""

import functools
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pytorch_lightning.loggers import WandbLogger

from en2py.config.contradictions import wandb_mode_of_environment

log = logging.getLogger(__name__)

_START_SECONDS = 14.0  # time limit for starting W&B, all attempts together
_END_SECONDS = 30.0  # time limit for sending at the end; `wandb sync` sends the rest


def _disable_on_error(method: Callable[..., Any]) -> Callable[..., Any]:
    """Disable the logger after the first error of a method and print a warning."""

    @functools.wraps(method)
    def guarded(self: "FaultTolerantWandbLogger", *args: Any, **kwargs: Any) -> Any:
        if self.disabled:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.disabled = True
            log.warning(
                f"W&B is disabled for this run ({reason_of(error)}); metrics.csv is complete"
            )

    return guarded


class FaultTolerantWandbLogger(WandbLogger):
    """W&B logger whose failures do not stop training; `metrics.csv` is the complete record.

    Attributes:
        disabled: Set by the first error.
    """

    disabled = False

    @property
    def experiment(self) -> Any:
        """Return the W&B run; None if the logger is disabled, for the trainer reads it."""
        return None if self.disabled else super().experiment

    log_hyperparams = _disable_on_error(WandbLogger.log_hyperparams)
    log_metrics = _disable_on_error(WandbLogger.log_metrics)
    log_table = _disable_on_error(WandbLogger.log_table)
    log_image = _disable_on_error(WandbLogger.log_image)
    after_save_checkpoint = _disable_on_error(WandbLogger.after_save_checkpoint)
    save = _disable_on_error(WandbLogger.save)
    finalize = _disable_on_error(WandbLogger.finalize)

    @_disable_on_error
    def log_checkpoint(self, path: Path) -> None:
        """Upload a checkpoint as the artifact that Lightning gives checkpoints to."""
        name = f"model-{self.experiment.id}"
        self.experiment.log_artifact(str(path), name=name, type="model", aliases=["best"])


@functools.cache
def wandb_mode() -> str:
    """Return the mode of the environment or of W&B's settings file, else that of the login.

    Without one, it is `online` if the user is logged in and `offline` if not; never prompt.
    """
    if mode := wandb_mode_of_environment():
        if mode == "disabled":
            log.info("W&B is off by WANDB_MODE or WANDB_DISABLED: logger.wandb has no effect")
        return mode
    os.environ.pop("WANDB_MODE", None)  # W&B refuses an empty one
    import wandb

    try:
        stored: str = wandb.setup().settings.mode  # by `wandb offline` or `wandb disabled`
        if stored != "online":
            return stored
        return "online" if wandb.login(prompt=False, timeout=10) else "offline"
    except ValidationError:  # a wrong setting, which the start will report
        return "offline"
    except Exception as error:  # a rejected key, no network
        log.warning(f"W&B is not reachable ({reason_of(error)}), so this run is recorded offline")
        return "offline"


def wandb_logger(
    section: Mapping[str, Any],
    *,
    folder: Path,
    name: str,
    run_id: str,
    group: str,
    job_type: str,
    tags: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    log_checkpoints: bool = False,
) -> WandbLogger:
    """Return a started W&B logger; the same run id continues the same W&B run.

    If W&B is not reachable, the run is recorded offline; if that fails too, the logger is disabled.
    In a W&B sweep the agent has set the id of the run. Offline runs are stored in the folder; the
    group is the study; tags are added to those of the section, `logger.wandb`.
    """
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")  # our own output names the folders
    deadline = time.monotonic() + _START_SECONDS
    mode, problem = section.get("mode") or wandb_mode(), ""
    in_agent = "WANDB_SWEEP_ID" in os.environ
    while True:
        timeout = max(4.0, deadline - time.monotonic())
        logger = FaultTolerantWandbLogger(
            project=section["project"],
            name=name,
            id=None if in_agent else run_id,
            entity=section.get("entity"),
            group=group,
            job_type=job_type,
            notes=section.get("notes"),
            tags=[*tags, *section.get("tags", ())],
            save_dir=str(folder),
            config=dict(config or {}),
            resume="allow",
            mode=mode,
            log_model=log_checkpoints,
            settings=wandb.Settings(init_timeout=timeout, finish_timeout=_END_SECONDS),
        )
        logger._wandb_init.pop("anonymous")  # W&B warns of any value, and Lightning passes None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Tables of runs show the best `val/nll` instead of the last one. The step metric is
            # the one that Lightning logs.
            step = "trainer/global_step"
            logger.experiment.define_metric("val/nll", step_metric=step, summary="min")
            if problem:
                log.warning(f"W&B does not respond ({problem}), so this run is recorded offline")
            _log_location(logger, mode)
            return logger
        except Exception as error:
            problem = reason_of(error)
            if mode != "online":
                logger.disabled = True
                log.warning(f"W&B is disabled for this run ({problem}); metrics.csv is complete")
                return logger
            wandb.teardown()  # its service reserves the id of the failed start
            mode = "offline"


def _log_location(logger: WandbLogger, mode: str) -> None:
    """Log the URL of a run, or the command that uploads an offline one."""
    if mode in ("offline", "dryrun"):
        log.info(f"W&B offline: wandb sync {shlex.quote(str(logger.experiment.settings.sync_dir))}")
    elif mode != "disabled" and logger.experiment.url:
        log.info(f"W&B: {logger.experiment.url}")


def finish_wandb() -> None:
    """Finish the W&B run of this process, or the next job of a sweep would write into it."""
    wandb = sys.modules.get("wandb")
    try:
        if wandb is not None and wandb.run is not None:
            wandb.finish()
    except Exception as error:
        log.warning(f"W&B did not finish ({reason_of(error)}); metrics.csv is complete")


def reason_of(error: Exception) -> str:
    """Return the kind of an error and its text, on one line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
