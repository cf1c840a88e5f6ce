"""Make and parse the name of a run: `<data>-<model>-<embeddings>-<loss>-seed<k>-<hash>`.

The hash covers the parts of the config that can change the result, so the run's folder, the rule
that skips finished runs and the W&B id all follow from the name.
"""

import copy
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from en2py.config.composition import CHECKPOINTS, DATA_FILES, leaves, typed
from en2py.config.instantiate import definition, is_own
from en2py.data.files import digest, file_digest
from en2py.errors import UserError

# Keys that cannot change a result, beside `sandbox`: where files are written, speed, labels.
# (A run in which `faults.skip_batches` skips an update has no result without it.)
_IRRELEVANT = (
    *("fresh", "study", "logger", "output", "cache", "processes", "checkpoints"),
    "faults.skip_batches",
    *("behaviour", "choices", "compute", "allowed_packages", "show_config"),
    *("batch.num_workers", "trainer.accelerator"),
    *("trainer.log_every_n_steps", "trainer.profiler"),
    "pretrained",  # init_from has its weights
)
# Of these keys, those that the test of a run depends on, and those that only its training reads: a
# finished run that is asked for other values keeps what it has.
SCORING = ("behaviour", "sandbox.timeout_s", "sandbox.memory_mb", "sandbox.min_level")
TRAINING = ("logger", "checkpoints.keep", "compute", "trainer.accelerator",
            "trainer.log_every_n_steps", "trainer.profiler")  # fmt: skip
# Sections whose order changes the result. A hash names an order only if it is not this one, so that
# two selections of the same sources or steps differ in these alone.
_ORDERS = {
    "sources": ("english_python", "tasks", "mbpp", "conala", "stdlib"),
    "use": (
        *("trim_lines", "repair_characters", "repair_description", "expand_tabs", "dedent"),
        *("widen_indents", "repair_python2", "must_parse", "remove_comments", "remove_docstrings"),
        *("remove_driver", "limit_lengths", "unparse", "autopep8", "space_brackets"),
    ),
}
_FILES = (*DATA_FILES, *CHECKPOINTS)  # keys of files and folders that a result depends on
_HASH_LENGTH = 10
_ARCHIVED = re.compile(r"\.old\d+$")


def run_name(config: Mapping[str, Any], choices: Mapping[str, str], config_sha256: str) -> str:
    """Return `<data>-<model>-<embeddings>-<loss>-seed<k>-<hash>`.

    Args:
        config: The resolved config.
        choices: The chosen option of each group.
        config_sha256: Its `config_digest`, whose first digits are the hash.

    Raises:
        UserError: If an experiment file chooses a list of options for one of these groups.
    """
    groups = ("data", "model", "embeddings", "loss")
    for group in groups:
        if group not in choices:
            raise UserError(f"{group}: expected one option, which names the run: {group}=NAME")
    words = [choices[group] for group in groups]
    parts = [*words, f"seed{config['seed']}", config_sha256[:_HASH_LENGTH]]
    return "-".join(part.replace("/", "_") for part in parts)


def without_seed(name: str) -> str:
    """Return a run's name without seed and hash, or the name itself if it has no seed."""
    return name.rpartition("-seed")[0] or name


def has_digest(name: str, config_sha256: str) -> bool:
    """Return whether a run's name was made from the config with this digest."""
    return name.endswith(config_sha256[:_HASH_LENGTH])


def is_archived(name: str) -> bool:
    """Return whether a folder is an earlier attempt that `fresh=true` renamed to `NAME.oldN`."""
    return _ARCHIVED.search(name) is not None


def n_archived(folder: Path) -> int:
    """Return the number of the last earlier attempt of the run of a folder; 0 without one."""
    names = (path.name for path in folder.parent.glob(f"{folder.name}.old*"))
    return max((int(name.rpartition(".old")[2]) for name in names if is_archived(name)), default=0)


def archive_folder(folder: Path) -> Path:
    """Return the folder that `fresh=true` renames the present attempt to."""
    return folder.with_name(f"{folder.name}.old{n_archived(folder) + 1}")


def wandb_id(study: str, name: str, attempt: int) -> str:
    """Return the W&B id of a run: the same when it resumes, another for a fresh attempt."""
    return digest([study, name, attempt])[:10]


def config_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all of a resolved config that can change the result."""
    return digest(_relevant(config))


def all_digests(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the `config_digest`, and the digests of files and own code in it by dotted key."""
    names, relevant = dict(leaves(config)), _relevant(config)
    contents = {
        key: value
        for key, value in leaves(relevant)
        if value != names.get(key)
        and ({*_FILES} & {*key.split(".")} or (key.endswith("_target_") and "@" in value))
    }
    return digest(relevant), contents


def data_key(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a resolved config that prepared data depends on."""
    names = ("data", "cleaning", "split", "augmentation", "tokenizer", "vocab")
    lengths = {key: config["model"][key] for key in ("max_src_len", "max_tgt_len")}
    limits = {"limits": found} if (found := _limits(config)) else {}
    return {**canonical({name: config[name] for name in names}), **lengths, **limits}


def _limits(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits of the sandbox where the split depends on executed programs."""
    names = ("timeout_s", "memory_mb") if splits_by_behaviour(config) else ()
    return {name: config["sandbox"][name] for name in names}


def splits_by_behaviour(config: Mapping[str, Any]) -> bool:
    """Return whether the programs of the data are executed to split them."""
    return (config.get("split") or {}).get("_target_") == "en2py.data.splits.behaviour_split"


def settings(
    config: Mapping[str, Any], choices: Mapping[str, str], contents: Mapping[str, Any]
) -> dict[str, str]:
    """Return all choices of a run except its seed: groups as `loss`, values as `model.d_ff`.

    Runs with equal settings are the same configuration.

    Args:
        config: The config of the run.
        choices: The chosen option of each group.
        contents: Digests of its files and own code when it was trained, see `all_digests`; empty if
            they are unknown.
    """
    found = {group: choice for group, choice in choices.items() if choice != "None"}
    for group in ("logger", "sandbox"):
        found.pop(group, None)
    paths = dict(leaves(config))
    for key, value in leaves(_relevant(config)):
        if value is not None and key != "seed" and not key.endswith("_partial_"):
            found[key] = _shown(key, contents.get(key, value), paths.get(key))
    return found


def setting(found: Mapping[str, str], key: str) -> str:
    """Return one of the `settings` of a run; `null`, as typed, for one that it lacks."""
    return found.get(key, typed(None))


def _shown(key: str, value: Any, path: Any) -> str:
    """Return a setting as a text; a file as its name with the first digits of its digest.

    Runs that resume from a checkpoint of their own seed are one configuration.
    """
    if key == "ckpt_path":
        return "resumed"
    if value != path and re.fullmatch("[0-9a-f]{64}", str(value)):
        return f"{Path(str(path)).name} {value[:8]}"
    return typed(value)


def canonical(value: Any, key: str = "") -> Any:
    """Replace paths by the SHA-256 of their content, and each `_target_` by its last component.

    A function or class keeps its name when it moves to another module, and so do the runs that
    use it. One of the user's own packages is named by its full path and its file's content.
    """
    if isinstance(value, Mapping):
        found = {k: canonical(v, key if key in _FILES else str(k)) for k, v in value.items()}
        if key in _ORDERS and [*value] != [k for k in _ORDERS[key] if k in value]:
            found["<order>"] = [*value]
        return found
    if isinstance(value, list):
        return [canonical(item, key if key in _FILES else "") for item in value]
    if key == "_target_":
        if is_own(str(value)):
            return _own_code(value)
        return str(value).rpartition(".")[2]
    if key in _FILES and isinstance(value, str) and Path(value).expanduser().exists():
        return file_digest(Path(value).expanduser())
    return value


def _own_code(target: str) -> str:
    """Return a target with the digest of the module that defines it, which may be another one."""
    try:
        spec = importlib.util.find_spec(definition(target).__module__)
    except (ModuleNotFoundError, UserError):
        return target
    return f"{target}@{file_digest(spec.origin)[:10]}" if spec and spec.origin else target


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """List where two plain configs differ, as `key: this, that`."""
    old, new = dict(leaves(a)), dict(leaves(b))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key)!r}, {new.get(key)!r}" for key in changed]


def _n_devices(devices: Any) -> Any:
    """Return the number of `trainer.devices`; each has a batch of its own, whichever it is.

    `auto` and -1, whose number depends on the machine, are returned as they are.
    """
    if isinstance(devices, str) and "," in devices:
        return len(devices.split(","))
    return len(devices) if isinstance(devices, list) else devices


def _relevant(config: Mapping[str, Any]) -> Any:
    relevant = copy.deepcopy(dict(config))
    relevant.pop("sandbox", None)
    if limits := _limits(config):  # the other settings of the sandbox change no result
        relevant["sandbox"] = limits
    if "devices" in (trainer := relevant.get("trainer") or {}):
        trainer["devices"] = _n_devices(trainer["devices"])
    for dotted in _IRRELEVANT:
        *parents, last = dotted.split(".")
        section: Any = relevant
        for name in parents:
            section = section.get(name) or {}
        section.pop(last, None)
    return canonical(relevant)
