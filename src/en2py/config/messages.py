"""Turn exceptions of Hydra and OmegaConf into one sentence with the nearest valid name."""

import contextlib
import difflib
import errno
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from en2py.config.composition import (
    CONF,
    NO_PRESET,
    compose_config,
    groups_of,
    nodes,
    options_of,
    own_folders,
)
from en2py.data.files import FULL, is_disk_full
from en2py.errors import Fault, UserError, chain, did_you_mean, one_line

_OTHER_OF_TRAINING = ("seed", "vocab", "compute", "checkpoints", "faults", "fresh", "init_from")
_OF_SWEEPS: tuple[str, ...] = ("hydra/launcher", "hydra/sweeper")  # groups
_RENAMED_OPTIONS = {("data", "jsonl"): "file"}


def user_message(error: BaseException, config_name: str, overrides: Sequence[str]) -> str | None:
    """Return the sentence on a mistake of the user or a fault of the machine; None for a bug."""
    if isinstance(error, UserError | Fault | PermissionError | NotADirectoryError):
        return str(error)
    if isinstance(error, OSError) and (full := FULL.get(error.errno or 0)):
        return f"{full[0]}: {error}; {full[1]} and run the same command again"
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.EROFS, errno.ELOOP):
        names = "output= and study=" if config_name == "train" else "folder="
        return f"{error.filename}: {error.strerror}; set other names with {names}"
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing costs seconds
        return str(error)
    if isinstance(error, InstantiationException):
        return _instantiation(error)
    if isinstance(error, OverrideParseException):
        if spaced := re.fullmatch(r"([\w.@/+~]+)\s+=\s*(.*)", str(error.override)):
            return f"{error.override}: no blank may be around =; {spaced[1]}={spaced[2]}"
        return (
            f"{error.override}: this value cannot be parsed ({one_line(error)}); a text with "
            "special characters needs quotes inside of quotes: key='\"text\"'"
        )
    if isinstance(error, ValueError | HydraException | OmegaConfBaseException):
        mistake = _mistyped(config_name, overrides)
        if mistake is not None or not isinstance(error, HydraException | OmegaConfBaseException):
            return mistake  # Hydra raises a ValueError for `loss=5`
        if isinstance(error, MissingConfigException) and error.options:
            group, _, option = str(error.missing_cfg_file).rpartition("/")
            return _unknown_option(group, option, error.options)
        if isinstance(error, MissingMandatoryValue):
            return f"{error.full_key} is needed: add {error.full_key}=VALUE"
        key, cause = getattr(error, "full_key", None), error.__cause__
        text = f"{key}: {_first_line(error)}" if key else one_line(error)
        reason = _first_line(cause) if isinstance(cause, OmegaConfBaseException) else ""
        return text if reason in text else f"{text}: {reason}"  # equal under a debugger
    return None


def exit_code(error: BaseException) -> int:
    """Return 1 for a fault of the machine, 2 for a mistake of the user."""
    is_fault = any(isinstance(link, Fault) for link in chain(error)) or is_disk_full(error)
    return 1 if is_fault else 2


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _instantiation(error: InstantiationException) -> str | None:
    """Report a wrong argument; any other error inside an object is a bug."""
    for link in chain(error):
        if isinstance(link, UserError | Fault):
            return str(link)
    cause = error.__cause__ or error.__context__
    is_argument = cause is None or isinstance(cause, TypeError | ValueError | ImportError)
    return one_line(error) if is_argument else None


@dataclass(frozen=True)
class _Names:
    """What a command line of a program may name.

    Attributes:
        program: Name of its primary config.
        groups: The options of each group, those of the other programs too.
        sweep_groups: The groups of Hydra's parts; empty if they cannot be read.
        choices: The groups of this program.
        values: The values of its keys, those of Hydra too.
    """

    program: str
    groups: dict[str, list[str]]
    sweep_groups: tuple[str, ...]
    choices: tuple[str, ...]
    values: dict[str, Any]

    @property
    def keys(self) -> list[str]:
        """The keys of the config, without those of Hydra."""
        return [key for key in self.values if key.split(".")[0] != "hydra"]


def _mistyped(config_name: str, overrides: Sequence[str]) -> str | None:
    """Report the first word of a command line whose group, option or key does not exist."""
    names = _names(config_name, overrides)
    typed = (word for word in overrides if word != NO_PRESET)
    return next((text for word in typed if (text := _mistake(word, names)) is not None), None)


def _names(config_name: str, overrides: Sequence[str]) -> _Names:
    """Return what these words may name: the keys are those of the options that they choose."""
    groups = _groups(overrides)
    sweep_groups = _OF_SWEEPS
    chosen = [w for w in overrides if w.partition("=")[0] in ("hydra.searchpath", *sweep_groups)]
    for group, _, value in (word.lstrip("+~").partition("=") for word in overrides):
        if group in groups and {*_options_in(value)} <= {*groups[group]}:
            chosen.append(f"{group}={value}")
    try:
        cfg = compose_config(config_name, chosen)
    except (HydraException, OmegaConfBaseException):  # a group that this program has not
        sweep_groups = ()
        cfg = compose_config(config_name, [])
        own_groups = [w for w in chosen if w.partition("=")[0] in cfg.hydra.runtime.choices]
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            cfg = compose_config(config_name, own_groups)
    values = dict(nodes(OmegaConf.to_container(cfg, resolve=False)))
    return _Names(config_name, groups, sweep_groups, tuple(cfg.hydra.runtime.choices), values)


def _mistake(word: str, names: _Names) -> str | None:
    """Return what is wrong with a word of the command line; None if nothing is."""
    key, _, value = word.lstrip("+~").partition("=")
    is_added, part = word[0] == "+", "/".join(key.split(".")[:2])
    if part in names.sweep_groups and not is_added and key not in (part, *names.values):
        return unknown_key(key, [k for k in names.values if k.startswith("hydra.")], [part])
    below = [group for group in names.groups if group.startswith(f"{key}/")]
    if key in names.groups:
        if (text := _wrong_option(word, key, value, below, names)) is not None:
            return text
    elif below:
        return f"{key}: not a group itself; did you mean {' or '.join(below)}?"
    return None if is_added else _wrong_key(word, key, names)


def _wrong_option(
    word: str, group: str, value: str, below: Sequence[str], names: _Names
) -> str | None:
    """Return what is wrong with the chosen option of a group that exists."""
    unknown = _unknown_options(group, value, names.groups)
    inner = [f"{other}={value}" for other in below if value in names.groups[other]]
    if unknown and inner:
        return f"{group}={value}: no such option; did you mean {' or '.join(inner)}?"
    if value and unknown:
        return _unknown_option(group, unknown[0], names.groups[group])
    if word[0] == "+" and group in names.choices:
        return f"{word}: there is a {group} already; replace it without a plus, {group}={value}"
    if group not in names.choices and group != "experiment":
        return not_evaluated(group)
    return None


def _wrong_key(word: str, key: str, names: _Names) -> str | None:
    """Return what is wrong with a key that is set or taken out."""
    keys = names.keys
    is_typo = bool(difflib.get_close_matches(key, keys, n=1, cutoff=0.9))
    if names.program != "train" and not is_typo and is_of_training(key, names.choices):
        return not_evaluated(key)
    if word[0] == "~" and names.values.get(key, "") is None:  # to Hydra it does not exist
        return f"{word}: {key} is null, so there is nothing to take out; leave it out"
    if key in (*keys, *names.groups) or key.startswith("hydra"):
        return None
    above = (k for k, v in names.values.items() if v is None and key.startswith(f"{k}."))
    if (name := next(above, None)) is not None:
        return (
            f"{key}: the chosen options set {name}=null, so there is no "
            f"{key.removeprefix(f'{name}.')}; leave it out, or choose others"
        )
    return unknown_key(key, list(dict.fromkeys([*keys, *names.groups])), names.groups)


def _options_in(value: str) -> list[str]:
    """Return the options in a group's value: `a`, `a,b` or `choice(a, b)`."""
    inner = re.fullmatch(r"(?:choice|shuffle)\((.*)\)", value)
    return [option.strip() for option in (inner[1] if inner else value).split(",")]


def check_options_of_sweep(overrides: Sequence[str]) -> None:
    """Refuse a value of a sweep over a group that is none of its options.

    Hydra would compose the runs with the other values first.

    Raises:
        UserError: With the nearest option.
    """
    groups = _groups(overrides)
    for word in overrides:
        key, _, value = word.lstrip("+").partition("=")
        group = key.partition("@")[0]
        if group in groups and value and (unknown := _unknown_options(group, value, groups)):
            raise UserError(_unknown_option(group, unknown[0], groups[group]))


def _groups(overrides: Sequence[str]) -> dict[str, list[str]]:
    """Return the options of each group, those in folders of the user too."""
    folders = own_folders(overrides)
    return {group: options_of(group, folders) for group in groups_of()}


def _unknown_options(group: str, value: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return those of a group's values that are none of its options."""
    return [o for o in _options_in(value) if o not in groups[group] and "${" not in o]


def _unknown_option(group: str, option: str, options: Iterable[str]) -> str:
    if group == "data" and re.search(r"[./]", option):
        return f"{group}={option}: no such option; a file is read by data=file data.path={option}"
    if (name := _RENAMED_OPTIONS.get((group, option))) is not None:
        return f"{group}={option}: this option is named {group}={name} now"
    return f"{group}={option}: no such option{did_you_mean(option, options)}"


def is_of_training(key: str, present: Iterable[Any]) -> bool:
    """Return whether a key belongs to a group that train.py has and this program has not."""
    tops = {str(name).partition("/")[0] for name in present}
    top = re.split(r"[./]", key)[0]
    known = {*(group.partition("/")[0] for group in groups_of()), *_OTHER_OF_TRAINING}
    return top in known - tops


def not_evaluated(key: str) -> str:
    """Return why an evaluation does not take a setting of the training."""
    top = re.split(r"[./]", key)[0]
    if top in ("data", "split", "cleaning"):
        why = f"a checkpoint brings its own {top}; add data=NAME to evaluate it on other data"
    elif top in ("tokenizer", "augmentation", "model", "vocab"):
        why = f"a checkpoint brings its own {top}; only baseline=NAME without ckpt_path takes it"
    else:
        why = "a setting of train.py; a checkpoint is evaluated as it was trained"
    return f"{key}: cannot be chosen here: {why}"


def unknown_key(key: str, keys: Sequence[str], groups: Iterable[str]) -> str:
    """Name the options of the group that have this key, or the nearest keys."""
    section, _, name = key.rpartition(".")
    group, inner = section.replace(".", "/"), name
    if group not in groups:  # a key of a section: `logger.wandb.mode`
        group, _, inner = key.partition(".")
    files = sorted((CONF / group).glob("*.yaml")) if group in groups else []
    parsed = {
        file.stem: OmegaConf.to_container(OmegaConf.load(file)) for file in files
    }  # `???` too
    owners = [option for option, plain in parsed.items() if inner in dict(nodes(plain))]
    if owners:
        choices = " or ".join(f"{group}={owner}" for owner in owners)
        return f"{key}: the {group} in use has no {inner}; add {choices}"
    hint = f"{key}: no such key{_nearest(section, name, keys)}"
    if section == "trainer":
        hint += "" if hint.endswith("?") else "."
        hint += f" Any other argument of Lightning's Trainer is added with a plus: +{key}=VALUE"
    return hint


def _nearest(section: str, name: str, keys: Sequence[str]) -> str:
    """Return the keys with the most similar last name, or else the keys of the section."""

    def score(key: str) -> float:
        other, _, last = key.rpartition(".")
        similar = difflib.SequenceMatcher(None, name, last).ratio()
        similar += 0.1 * last.endswith(f"_{name}")  # max_epochs
        return max(similar, _is_abbreviation(name, last)) + 0.2 * (other == section)

    found, siblings = section, list[str]()
    while not siblings:  # an unknown section has none
        siblings = [key.rpartition(".")[2] for key in keys if found == key.rpartition(".")[0]]
        found = found if siblings else found.rpartition(".")[0]
    siblings = [name for name in siblings if name not in ("_target_", "_partial_")]
    listed = f"{found or 'the config'} has: {', '.join(siblings)}"
    best = max(map(score, keys))
    if best < 0.8:
        return f"; {listed}"
    near = [key for key in keys if score(key) == best]
    # A key of another section may not be what is meant: `model.dim` is not that of word vectors.
    is_elsewhere = section == found != "" and all(key.rpartition(".")[0] != section for key in near)
    question = f"; did you mean {' or '.join(near[:3])}?"
    return f"{question} {listed}" if is_elsewhere else question


def _is_abbreviation(name: str, key: str) -> bool:
    """Return whether each word of a name begins the same word of a key: `desc_field`."""
    words, others = name.split("_"), key.split("_")
    return len(words) == len(others) > 1 and all(map(str.startswith, others, words))
