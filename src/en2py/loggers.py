"""Where the numbers of a run go: always a CSV file; W&B beside it where wanted."""

import csv
import functools
import io
import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from en2py.data.cache import write_atomically


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


@functools.cache
def wandb_mode() -> str:
    """Return `online` where the user is logged in, else `offline`; never asks, asked once."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    import wandb

    try:
        return "online" if wandb.login(prompt=False, timeout=10) else "offline"
    except Exception as error:  # a refused key, no network: training matters more
        print(f"W&B is not reachable ({type(error).__name__}), so this run is recorded offline")
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
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_SILENT", "true")  # our own output says where things are
    return WandbLogger(
        project=project,
        name=run,
        id=run_id,
        group=study,
        tags=tags,
        save_dir=str(folder),
        config=config,
        resume="allow",
        mode=wandb_mode(),
        log_model=log_checkpoints,
    )


def finish_wandb() -> None:
    """End the W&B run of this process, or the next job of a sweep would write into it."""
    import wandb

    if wandb.run is not None:
        wandb.finish()
