"""Read the metrics that a run logged over its epochs."""

from pathlib import Path

from en2py.data.files import read_csv


def read_curve(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file, each without its gaps.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    return [{name: float(cell) for name, cell in row.items()} for row in read_csv(path)]


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file that belong to an epoch; none if it cannot be read."""
    try:
        return [row for row in read_curve(path) if "epoch" in row]
    except (FileNotFoundError, ValueError):
        return []
