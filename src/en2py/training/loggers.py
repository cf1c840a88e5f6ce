"""Loggers of a run: always a CSV file, and W&B, TensorBoard or MLflow if configured."""

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
from pytorch_lightning.loggers import MLFlowLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from en2py.config.contradictions import wandb_mode_of_environment
from en2py.config.instantiate import make
from en2py.config.run_name import n_archived, wandb_id
from en2py.data.files import csv_text, digest, read_csv, write_atomically
from en2py.errors import Fault, UserError
from en2py.evaluation.results import Results
from en2py.training.run_folder import Run, metrics_of

log = logging.getLogger(__name__)

BEST = "val/nll_best"  # of a finished run: the metric of a W&B sweep


class MetricsFile(Logger):
    """Write all metrics to a CSV file, one row per step; a resumed run appends to it.

    Epochs count from 1, as the module logs them. Metrics of the test split belong to no epoch.

    Lightning's own logger deletes the earlier rows when a run is resumed.

    Args:
        path: The file.
        until_step: Keep the rows of a resumed run before this step; None: start a new file.
    """

    def __init__(self, path: Path, until_step: int | None) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, str]] = []
        if until_step is not None and path.exists():
            self.rows = [row for row in read_csv(path) if int(row["step"]) < until_step]

    @property
    def name(self) -> str:
        """Return the logger's name."""
        return "metrics"

    @property
    def version(self) -> str:
        """Return an empty version: a run has one file."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder contains the config."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add values to the row of a step."""
        row = {key: repr(float(value)) for key, value in metrics.items()}
        if "epoch" in row:
            row["epoch"] = str(int(float(row["epoch"])))
        if any(name.startswith("test/") for name in row):
            row.pop("epoch", None)
        if self.rows and self.rows[-1]["step"] == str(step or 0):
            self.rows[-1].update(row)
        else:
            self.rows.append({"step": str(step or 0), **row})

    def best_nll(self) -> float | None:
        """Return the lowest `val/nll`; None without a validation."""
        return min((float(row["val/nll"]) for row in self.rows if row.get("val/nll")), default=None)

    @rank_zero_only
    def save(self) -> None:
        """Write the file."""
        columns = dict.fromkeys(["step", "epoch"])
        columns.update(dict.fromkeys(sorted({key for row in self.rows for key in row})))
        write_atomically(self.path, csv_text(columns, self.rows).encode())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the file; if the run failed, do not hide its error by another one."""
        try:
            self.save()
        except Fault:
            if status != "failed":
                raise


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
            log.warning(f"W&B is disabled for this run ({_reason(error)}); metrics.csv is complete")

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
        log.warning(f"W&B is not reachable ({_reason(error)}), so this run is recorded offline")
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
            problem = _reason(error)
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
        log.warning(f"W&B did not finish ({_reason(error)}); metrics.csv is complete")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def training_loggers(run: Run, n_parameters: int) -> list[Logger]:
    """Return the configured loggers of a training run, besides `metrics.csv`.

    The number of parameters is a part of the logged config.

    Raises:
        UserError: If TensorBoard or MLflow does not start.
    """
    config = {**run.config, "choices": run.choices, "n_parameters": n_parameters}
    found: list[Logger] = []
    for name, section in run.config["logger"].items():
        if not section:
            continue
        if name == "wandb":
            found.append(_wandb_logger_of(run, section, config))
            continue
        try:
            make_logger = _tensorboard_logger if name == "tensorboard" else _mlflow_logger
            logger = make_logger(section, run)
            logger.log_hyperparams(config)
        except Exception as error:
            raise UserError(
                f"logger.{name} does not start ({_reason(error)}): correct its settings, or take "
                "logger=csv"
            ) from error
        found.append(logger)
    return found


def log_checkpoint(logger: Logger, sections: Mapping[str, Any], path: Path) -> None:
    """Upload the best checkpoint of a run by W&B or MLflow, if the sections of `logger` ask for it.

    Lightning uploads only files of its `ModelCheckpoint`: those of `keep_every_n_epochs`.
    """
    if isinstance(logger, FaultTolerantWandbLogger) and sections["wandb"]["log_checkpoints"]:
        logger.log_checkpoint(path)
    if isinstance(logger, MLFlowLogger) and sections["mlflow"].get("log_model"):
        logger.experiment.log_artifact(logger.run_id, str(path), "checkpoints")


def _wandb_logger_of(run: Run, section: Mapping[str, Any], config: dict[str, Any]) -> WandbLogger:
    tags = [f"{group}={run.choices[group]}" for group in ("data", "model", "embeddings", "loss")]
    return wandb_logger(
        section,
        folder=run.folder.parent,
        name=run.name,
        run_id=wandb_id(run.config["study"], run.name, n_archived(run.folder)),
        group=run.config["study"],
        job_type="training",
        tags=[*tags, f"seed={run.config['seed']}"],
        config=config,
        log_checkpoints=section["log_checkpoints"],
    )


def _tensorboard_logger(section: Mapping[str, Any], run: Run) -> Any:
    n = n_archived(run.folder)  # an attempt has curves of its own
    version = f"{run.name}.attempt{n + 1}" if n else run.name
    return make(section)(save_dir=str(run.folder.parent / "tensorboard"), name="", version=version)


def _mlflow_logger(section: Mapping[str, Any], run: Run) -> Any:
    """Return the logger of a section; a resumed run continues its record."""
    from mlflow import MlflowClient

    uri = section.get("tracking_uri")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(run.config["study"])
    place = {}
    if str(uri).startswith("sqlite:") and "artifact_location" not in section:
        place["artifact_location"] = str(Path(run.config["output"], "mlruns").absolute())
    attempt = str(n_archived(run.folder))
    same = f"attributes.run_name = '{run.name}' and tags.attempt = '{attempt}'"
    earlier = experiment and client.search_runs([experiment.experiment_id], same, max_results=1)
    return make(section)(
        experiment_name=run.config["study"],
        run_name=run.name,
        run_id=earlier[0].info.run_id if earlier else None,
        tags={**(section.get("tags") or {}), "attempt": attempt},
        **place,
    )


def log_finished_run(run: Run, result: Mapping[str, Any]) -> None:
    """Log the result of a finished run to a W&B sweep, whose agent waits for it.

    The agent has chosen the configuration of the run again.
    """
    logger = _wandb_logger_of(run, run.config["logger"]["wandb"], {"choices": run.choices})
    metrics = metrics_of(result)
    if "val/nll" in metrics:  # none without a validation
        metrics[BEST] = metrics["val/nll"]
    logger.log_metrics(metrics, result["steps"])
    finish_wandb()


def log_evaluated_run(
    folder: Path, study: str, values: Mapping[str, float], section: Mapping[str, Any]
) -> None:
    """Log the metrics of an evaluation, by names with their split, to the W&B run of a trained run.

    The folder is named after the run; it was trained in the study.
    """
    logger = wandb_logger(
        {**section, "tags": [], "notes": None},  # they would replace those of the training
        folder=folder.parent,
        name=folder.name,
        run_id=wandb_id(study, folder.name, n_archived(folder)),
        group=study,
        job_type="training",
    )
    logger.log_metrics(dict(values))
    finish_wandb()


def log_results(
    results: Results,
    section: Mapping[str, Any],
    folder: Path,
    study: str,
    checkpoints: Sequence[str],
) -> None:
    """Log the results of an evaluation as a W&B run of the type `evaluation`.

    The study, of the evaluated runs, is the group of the W&B run; `checkpoints` are SHA-256.
    """
    name = f"{results.title}, {results.data['part']}"
    logger = wandb_logger(
        section,
        folder=folder,
        name=name,
        run_id=digest(
            [name, results.data["test_hash"], [row.runs for row in results.rows], checkpoints]
        )[:10],
        group=study,
        job_type="evaluation",
        tags=["evaluation", f"data={results.data['name']}"],
        config={"data": results.data, "fixed": results.fixed, "axes": results.axes},
    )
    columns = ["row", "kind", "metric", "value", "low", "high", "over", "difference", "significant"]
    values, data = {}, []
    for row in results.rows:
        for metric, own in row.figures.items():
            values[f"{row.name}/{metric}"] = own.value
            other = row.differences.get(metric)
            difference = [other.value, other.is_significant] if other else [None, None]
            interval = [own.low, own.high, own.over]
            data.append([row.name, row.kind, metric, own.value, *interval, *difference])
    logger.log_metrics(values)
    logger.log_table("figures", columns=columns, data=data)
    columns = ["id", "description", "reference", "row", "output", "verdict", "detail"]
    data = [
        [own.id, own.description, own.reference, name, out.code, out.verdict, out.detail]
        for own in results.samples
        for name, out in own.outputs.items()
    ]
    logger.log_table("samples", columns=columns, data=data)
    finish_wandb()
