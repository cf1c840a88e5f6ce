"""The tables of the grammar: its primitives, templates and words, one YAML file each."""

from functools import cache
from pathlib import Path
from typing import Any

from en2py.data.files import read_table


@cache
def table(name: str) -> Any:
    """Return the content of `NAME.yaml`."""
    return read_table(Path(__file__).with_name(f"{name}.yaml"))
