"""The tables of the grammar: its primitives, templates and words, one YAML file each."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time


@cache
def table(name: str) -> Any:
    """Return the content of `NAME.yaml`; its lists are tuples, because nobody may change them."""
    text = Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8")
    return _frozen(yaml.load(text, _LOADER))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
