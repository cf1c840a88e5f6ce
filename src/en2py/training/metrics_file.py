"""The CSV file with all metrics of a run."""

from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from en2py.data.files import csv_text, read_csv, write_atomically
from en2py.errors import Fault


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
