"""What a run is, decided in one place: folder, skip rule and W&B id all come from here."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from en2py.data.files import digest, file_digest

# What cannot change a result: where things are written, how fast, and under which label.
_IRRELEVANT = (
    "fresh",
    "study",
    "logger",
    "output",
    "cache",
    "processes",
    "checkpoints",
    "faults",  # without which a run that they change would have no result
    "sandbox",
    "behaviour",
    "choices",
    "batch.num_workers",
    "trainer.accelerator",
    "trainer.devices",
)
# Keys that came later, with the value at which nothing is other than before: runs keep their names.
_NEUTRAL = {"cleaning.seconds_per_pair": 10}
_FILES = ("path", "root", "init_from", "ckpt_path")  # keys whose value names a file or a folder


def without_paths(value: Any, key: str = "") -> Any:
    """Replace the paths in a config by the SHA-256 of what lies there."""
    if isinstance(value, Mapping):
        return {k: without_paths(v, key if key in _FILES else str(k)) for k, v in value.items()}
    if key in _FILES and isinstance(value, str) and Path(value).expanduser().exists():
        return file_digest(Path(value).expanduser())
    return value


def config_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all in a resolved config that can change the result."""
    return digest(_relevant(config))


def data_key(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a resolved config that prepared data depends on."""
    names = ("data", "cleaning", "split", "augmentation", "tokenizer", "vocab")
    limits = {key: config["model"][key] for key in ("max_src_len", "max_tgt_len")}
    return {**without_paths({name: config[name] for name in names}), **limits}


def settings(config: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, str]:
    """Return all that a run chose but for its seed: groups as `loss`, values as `model.d_ff`.

    Runs with equal settings are the same configuration.

    Args:
        config: The resolved config, plain containers.
        choices: The option taken in each group.
    """
    found = {group: choice for group, choice in choices.items() if choice != "None"}
    for group in ("logger", "sandbox"):
        found.pop(group, None)
    found |= {key: _written(value) for key, value in _leaves(_relevant(config))}
    del found["seed"]
    return found


def _relevant(config: Mapping[str, Any]) -> Any:
    relevant = copy.deepcopy(dict(config))
    for dotted in (*_IRRELEVANT, *_NEUTRAL):
        *parents, last = dotted.split(".")
        section: Any = relevant
        for name in parents:
            section = section.get(name) or {}
        if dotted not in _NEUTRAL or section.get(last) == _NEUTRAL[dotted]:
            section.pop(last, None)
    return without_paths(relevant)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            if name != "_partial_":
                yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif value is not None:
        yield key, value


def _written(value: Any) -> str:
    """Write a value as one types it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return str(value)


def run_name(config: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """Return `<data>-<model>-<embeddings>-<loss>-seed<k>-<hash>`.

    Args:
        config: The resolved config, plain containers.
        choices: The option taken in each group.
    """
    words = [choices[group] for group in ("data", "model", "embeddings", "loss")]
    parts = [*words, f"seed{config['seed']}", config_digest(config)[:10]]
    return "-".join(part.replace("/", "_") for part in parts)


def wandb_id(study: str, name: str, attempt: int) -> str:
    """Return the W&B id of a run: it goes on under it, a fresh attempt gets another."""
    return digest([study, name, attempt])[:10]


def differences(a: Any, b: Any, at: str = "") -> list[str]:
    """List where two plain configs differ, as `key: this, that`."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found = []
        for key in [*a, *(k for k in b if k not in a)]:
            found += differences(a.get(key), b.get(key), f"{at}.{key}" if at else str(key))
        return found
    return [] if a == b else [f"{at}: {a!r}, {b!r}"]
