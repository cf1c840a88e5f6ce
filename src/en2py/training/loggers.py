"""Where the numbers of a run go: always a CSV file; W&B beside it where wanted."""

import csv
import functools
import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from en2py.config.run_name import n_archived, wandb_id
from en2py.data.files import digest, write_atomically
from en2py.errors import Fault
from en2py.evaluation.aggregation import RunMetrics
from en2py.evaluation.results import Results
from en2py.training.run_folder import Run


class MetricsFile(Logger):
    """A CSV of all that is logged, one row a step; a resumed run goes on in it.

    Lightning's own logger deletes the earlier rows when a run is resumed.

    Args:
        path: The file.
        until_step: Keep the rows of an interrupted run before this step; None starts anew.
    """

    def __init__(self, path: Path, until_step: int | None) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, str]] = []
        if until_step is not None and path.exists():
            with open(path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) < until_step]

    @property
    def name(self) -> str:
        """Return the logger's name."""
        return "metrics"

    @property
    def version(self) -> str:
        """Return no version: a run has one file."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder holds the config."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add values to the row of a step."""
        row = {key: repr(float(value)) for key, value in metrics.items()}
        if "epoch" in row:
            row["epoch"] = str(int(float(row["epoch"])))
        if self.rows and self.rows[-1]["step"] == str(step or 0):
            self.rows[-1].update(row)
        else:
            self.rows.append({"step": str(step or 0), **row})

    @rank_zero_only
    def save(self) -> None:
        """Write the file."""
        columns = dict.fromkeys(["step", "epoch"])
        columns.update(dict.fromkeys(sorted({key for row in self.rows for key in row})))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue().encode())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the file, if that is possible: a run that failed has its own error to tell."""
        try:
            self.save()
        except Fault:
            if status != "failed":
                raise


_START_SECONDS = 14.0  # that a start may wait for W&B in all
_END_SECONDS = 30.0  # that an end may wait for what is to be sent; `wandb sync` sends the rest


def _spare(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a logger's method give the logger up at its first error, with a line, and do no more."""

    @functools.wraps(method)
    def spared(self: "SpareWandb", *args: Any, **kwargs: Any) -> Any:
        if self.lost:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.lost = True
            _tell(f"W&B is given up for this run ({_reason(error)}); metrics.csv has all numbers")

    return spared


class SpareWandb(WandbLogger):
    """W&B beside training and never in its way: `metrics.csv` is the record, this a copy of it.

    Attributes:
        lost: After an error nothing is logged any more.
    """

    lost = False

    @property
    def experiment(self) -> Any:
        """Return the W&B run; None where it is lost, for the trainer asks at its start."""
        return None if self.lost else super().experiment

    log_hyperparams = _spare(WandbLogger.log_hyperparams)
    log_metrics = _spare(WandbLogger.log_metrics)
    log_table = _spare(WandbLogger.log_table)
    log_image = _spare(WandbLogger.log_image)
    after_save_checkpoint = _spare(WandbLogger.after_save_checkpoint)
    save = _spare(WandbLogger.save)
    finalize = _spare(WandbLogger.finalize)


@functools.cache
def wandb_mode() -> str:
    """Return `online` where the user is logged in, else `offline`; never asks, asked once."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    import wandb

    try:
        return "online" if wandb.login(prompt=False, timeout=10) else "offline"
    except Exception as error:  # a refused key, no network: training matters more
        _tell(f"W&B is not reachable ({_reason(error)}), so this run is recorded offline")
        return "offline"


def wandb_logger(
    *,
    project: str,
    folder: Path,
    run: str,
    run_id: str,
    study: str,
    tags: list[str],
    config: Any,
    log_checkpoints: bool,
) -> WandbLogger:
    """Return the W&B logger of a run; the same run id goes on with the same W&B run."""
    os.environ.setdefault("WANDB_SILENT", "true")  # our own output says where things are
    started = time.monotonic()

    def make(mode: str) -> SpareWandb:
        from wandb import Settings

        left = max(4.0, _START_SECONDS - (time.monotonic() - started))
        return SpareWandb(
            project=project,
            name=run,
            id=run_id,
            group=study,
            tags=tags,
            save_dir=str(folder),
            config=config,
            resume="allow",
            mode=mode,
            log_model=log_checkpoints,
            settings=Settings(init_timeout=left, finish_timeout=_END_SECONDS),
        )

    logger = make(wandb_mode())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _begun(logger)
    except Exception as error:
        reason = _reason(error)
    if wandb_mode() == "online":
        _tell(f"W&B does not answer ({reason}), so this run is recorded offline")
        logger = make("offline")
        try:
            return _begun(logger)
        except Exception as error:
            reason = _reason(error)
    logger.lost = True
    _tell(f"W&B is left out of this run ({reason}); metrics.csv has all numbers")
    return logger


def _begun(logger: SpareWandb) -> SpareWandb:
    """Start the W&B run, and let tables of runs show the best `val/nll` and not the last one."""
    step = "trainer/global_step"  # what Lightning plots against
    logger.experiment.define_metric("val/nll", step_metric=step, summary="min")
    return logger


def finish_wandb() -> None:
    """End the W&B run of this process, or the next job of a sweep would write into it."""
    wandb = sys.modules.get("wandb")
    try:
        if wandb is not None and wandb.run is not None:
            wandb.finish()
    except Exception as error:
        _tell(f"W&B did not end well ({_reason(error)}); metrics.csv has all numbers")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _wandb(run: Run) -> Any:
    tags = [f"{group}={run.choices[group]}" for group in ("data", "model", "embeddings", "loss")]
    return wandb_logger(
        project=run.config["logger"]["wandb"]["project"],
        folder=run.folder.parent,
        run=run.name,
        run_id=run.wandb_id(),
        study=run.config["study"],
        tags=[*tags, f"seed={run.config['seed']}"],
        config={**run.config, "choices": run.choices},
        log_checkpoints=run.config["logger"]["wandb"]["log_checkpoints"],
    )


def record(
    results: Results,
    runs: Sequence[RunMetrics],
    entrants: Sequence[Any],
    chosen: Mapping[str, Any] | None,
    folder: Path,
) -> None:
    """Send a comparison to W&B, where that is wanted.

    Args:
        results: What was found.
        runs: The figures of each run, models first and in the order of the entrants.
        entrants: The checkpoints.
        chosen: The logger section of this evaluation; None: as each run was trained.
        folder: Where the report lies; W&B keeps what it could not send beside it.
    """
    part = results.data["part"]
    project = ""
    for entrant, run in zip(entrants, runs, strict=False):
        section = chosen if chosen is not None else entrant.config["logger"]
        if not section.get("wandb"):
            continue
        project = section["wandb"]["project"]
        if entrant.folder is None:  # a copy of a checkpoint: its run is not known
            continue
        study = entrant.folder.parent
        logger = wandb_logger(
            project=project,
            folder=study,
            run=entrant.name,
            run_id=wandb_id(
                entrant.stored["config"]["study"], entrant.name, n_archived(entrant.folder)
            ),
            study=entrant.stored["config"]["study"],
            tags=[],
            config={},
            log_checkpoints=False,
        )
        logger.log_metrics({f"{part}/{name}": value for name, value in run.values.items()})
        finish_wandb()
    if not project and chosen is not None and chosen.get("wandb"):
        project = chosen["wandb"]["project"]
    if project:
        _comparison(results, project, folder)


def _comparison(results: Results, project: str, folder: Path) -> None:
    name = f"{results.title}, {results.data['part']}"
    tags = ["comparison", f"data={results.data['name']}"]
    logger = wandb_logger(
        project=project,
        folder=folder,
        run=name,
        run_id=digest([name, results.data["test_hash"], [row.runs for row in results.rows]])[:10],
        study="comparisons",
        tags=tags,
        config={"data": results.data, "fixed": results.fixed, "axes": results.axes},
        log_checkpoints=False,
    )
    logger.log_metrics(
        {
            f"{row.name}/{metric}": figure.value
            for row in results.rows
            for metric, figure in row.figures.items()
        }
    )
    columns, data = figures_table(results)
    logger.log_table("figures", columns=columns, data=data)
    columns, data = samples_table(results)
    logger.log_table("samples", columns=columns, data=data)
    finish_wandb()


def figures_table(results: Results) -> tuple[list[str], list[list[Any]]]:
    """Return a line for each figure of each row, with its interval and its difference."""
    columns = ["row", "kind", "metric", "value", "low", "high", "over", "difference", "significant"]
    data = []
    for row in results.rows:
        for metric, figure in row.figures.items():
            other = row.differences.get(metric)
            difference = [other.value, other.is_significant] if other else [None, None]
            own = [figure.value, figure.low, figure.high, figure.over]
            data.append([row.name, row.kind, metric, *own, *difference])
    return columns, data


def samples_table(results: Results) -> tuple[list[str], list[list[Any]]]:
    """Return a line for each sample and row."""
    columns = ["id", "description", "reference", "row", "output", "verdict", "detail"]
    data = [
        [own.id, own.description, own.reference, name, out.code, out.verdict, out.detail]
        for own in results.samples
        for name, out in own.outputs.items()
    ]
    return columns, data
