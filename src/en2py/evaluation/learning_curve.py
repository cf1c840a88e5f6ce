"""Read the metrics that a run logged over its epochs."""

from pathlib import Path

from en2py.data.files import read_csv


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file that belong to an epoch, each without its gaps.

    There is none if the file cannot be read.
    """
    try:
        rows = [{name: float(cell) for name, cell in row.items()} for row in read_csv(path)]
    except (FileNotFoundError, ValueError):
        return []
    return [row for row in rows if "epoch" in row]
