"""Read the metrics that a run logged over its epochs."""

from pathlib import Path

from en2py.data.files import read_csv


def read_curve(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file, each without its gaps, with epochs counted from 1.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    rows = epochs_from_1(read_csv(path))
    return [{name: float(cell) for name, cell in row.items()} for row in rows]


def epochs_from_1(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows of a metrics file; those of earlier versions counted epochs from 0."""
    first = next((row["epoch"] for row in rows if "epoch" in row), "1")
    if float(first) > 0:
        return rows
    return [{**row, "epoch": str(int(row["epoch"]) + 1)} if "epoch" in row else row for row in rows]
