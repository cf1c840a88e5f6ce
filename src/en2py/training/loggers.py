"""The configured loggers of a run: W&B, TensorBoard or MLflow; results that are logged later."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger

from en2py.config.instantiate import make
from en2py.config.run_name import n_archived, wandb_id
from en2py.data.files import digest
from en2py.errors import UserError
from en2py.evaluation.results import Results
from en2py.training.run import Run
from en2py.training.run_folder import metrics_of
from en2py.training.wandb_logger import (
    FaultTolerantWandbLogger,
    finish_wandb,
    reason_of,
    wandb_logger,
)

log = logging.getLogger(__name__)

BEST = "val/nll_best"  # of a finished run: the metric of a W&B sweep


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
                f"logger.{name} does not start ({reason_of(error)}): correct its settings, or take "
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
        for metric, figure in row.figures.items():
            values[f"{row.name}/{metric}"] = figure.value
            other = row.differences.get(metric)
            difference = [other.value, other.is_significant] if other else [None, None]
            interval = [figure.low, figure.high, figure.over]
            data.append([row.name, row.kind, metric, figure.value, *interval, *difference])
    logger.log_metrics(values)
    logger.log_table("figures", columns=columns, data=data)
    columns = ["id", "description", "reference", "row", "output", "verdict", "detail"]
    data = [
        [sample.id, sample.description, sample.reference, name, out.code, out.verdict, out.detail]
        for sample in results.samples
        for name, out in sample.outputs.items()
    ]
    logger.log_table("samples", columns=columns, data=data)
    finish_wandb()
