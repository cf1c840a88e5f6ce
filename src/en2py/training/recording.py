"""A comparison in W&B: each run gets its own numbers, the comparison a run of its own with tables.

The calls go through the logger of training, which gives W&B up at its first error: `results.json`
has all numbers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from en2py.cli.checkpoint_runs import Entrant
from en2py.config.run_name import wandb_id
from en2py.data.cache import digest
from en2py.evaluation.aggregation import RunFigures
from en2py.evaluation.results import Results
from en2py.training.loggers import finish_wandb, wandb_logger


def record(
    results: Results,
    runs: Sequence[RunFigures],
    entrants: Sequence[Entrant],
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
        attempt = len(list(study.glob(f"{entrant.name}.old*")))
        logger = wandb_logger(
            project=project,
            folder=study,
            run=entrant.name,
            run_id=wandb_id(entrant.stored["config"]["study"], entrant.name, attempt),
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
    columns = ["row", "kind", "metric", "value", "low", "high", "over", "difference", "is one"]
    data = []
    for row in results.rows:
        for metric, figure in row.figures.items():
            other = row.differences.get(metric)
            difference = [other.value, other.is_one] if other else [None, None]
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
