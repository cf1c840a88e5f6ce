"""What Hydra and OmegaConf raise, told in one sentence with the nearest valid name."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from en2py.config.composition import groups_of, options_of, rehearse
from en2py.data.files import is_disk_full
from en2py.errors import Fault, UserError, did_you_mean


def explain(
    error: BaseException, config_name: str, overrides: Sequence[str], conf: Path
) -> str | None:
    """Say in one sentence what the person at the keyboard got wrong, or what the machine did.

    Args:
        error: What was raised while the config was composed or a run was made from it.
        config_name: The config that was composed.
        overrides: The command line's `key=value` words.
        conf: The folder of the configs.

    Returns:
        The sentence; None where the error is a bug of ours.
    """
    if isinstance(error, UserError | Fault | PermissionError | NotADirectoryError):
        return str(error)
    if isinstance(error, OSError) and is_disk_full(error):
        return f"the disk is full: {error}; make room and type the same command again"
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; importing costs seconds
        return str(error)
    if isinstance(error, ValueError) and _raised_by_hydra(error):
        return _not_an_option(overrides, conf) or str(error)
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error, OverrideParseException):
        return _grammar(error)
    if isinstance(error, MissingConfigException):
        return _missing_option(error, conf)
    chain = list(_chain(error))
    if isinstance(error, InstantiationException):
        return _instantiation(error, chain)
    for link in chain:
        if isinstance(link, ConfigAttributeError | ConfigKeyError) and link.full_key:
            return _unknown_key(str(link.full_key), config_name, overrides, conf)
        if isinstance(link, MissingMandatoryValue):
            return f"{link.full_key} is needed: add {link.full_key}=VALUE"
    if isinstance(error, HydraException):
        return _composition(error, chain, config_name, conf)
    return f"{error.full_key}: {_first_line(error)}" if error.full_key else _first_line(error)


def exit_code(error: BaseException) -> int:
    """Return 2 for an error that `explain` tells of, but 1 where nobody at the keyboard erred."""
    links = list(_chain(error))
    return 1 if any(isinstance(link, Fault) for link in links) or is_disk_full(error) else 2


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _raised_by_hydra(error: Exception) -> bool:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals["__name__"].split(".")[0] == "hydra"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _grammar(error: OverrideParseException) -> str:
    return (
        f"{error.override}: this value cannot be read ({_first_line(error)}); where it is meant "
        "as a text, it stands in quotes inside of quotes: key='\"text\"'"
    )


def _missing_option(error: MissingConfigException, conf: Path) -> str:
    missing = error.missing_cfg_file
    if missing is None:
        return _first_line(error)
    group, _, option = missing.rpartition("/")
    if group not in groups_of(conf):
        return _first_line(error)
    options = options_of(group, conf)
    return f"{group}={option}: no such option{did_you_mean(option, options)}"


def _not_an_option(overrides: Sequence[str], conf: Path) -> str | None:
    """Tell a group that is given a number, which Hydra refuses without naming it."""
    for override in overrides:
        group, _, option = override.lstrip("+").partition("=")
        if group in groups_of(conf) and option not in options_of(group, conf):
            return (
                f"{group}={option}: no such option{did_you_mean(option, options_of(group, conf))}"
            )
    return None


def _instantiation(error: InstantiationException, chain: Sequence[BaseException]) -> str | None:
    """Tell a wrong argument; any other error inside a part is a bug and keeps its traceback."""
    for link in chain:
        if isinstance(link, UserError | Fault):
            return str(link)
    inner = chain[1] if len(chain) > 1 else None
    if inner is not None and not isinstance(inner, TypeError | ValueError | ImportError):
        return None
    where = str(error).partition("full_key: ")[2].strip()
    told = str(inner) if inner is not None else _first_line(error)
    return f"{where}: {told}" if where else told


def _composition(
    error: HydraException, chain: Sequence[BaseException], config_name: str, conf: Path
) -> str:
    text = str(error)
    if "Ambiguous value for argument" in text:
        override = text.split("'", 1)[1].split("'\n")[0]
        return (
            f"{override} names several values: add -m for a run of each, or write "
            f"{override.replace('=', '=[', 1)}] for a list"
        )
    if "No match in the defaults list" in text:
        group = text.split("Could not override '", 1)[1].split("'")[0]
        return _unknown_group(group, conf)
    if "Could not append to config" in text:
        key = text.split("'", 2)[1]
        return f"+{key}: {key} is there already; write it without the plus"
    if "Could not delete from config" in text:
        key = text.split("'", 2)[1]
        return _unknown_key(key, config_name, [], conf) if "does not exist" in text else text
    for link in chain[1:]:
        if isinstance(link, OmegaConfBaseException):
            return f"{_first_line(error)}: {_first_line(link)}"
    return " ".join(text.split()) or type(error).__name__


def _unknown_group(group: str, conf: Path) -> str:
    below = [known for known in groups_of(conf) if known.startswith(f"{group}/")]
    if below:
        return f"{group}: not a group itself; did you mean {' or '.join(below)}?"
    if group in groups_of(conf):  # of another program, or of baselines without a checkpoint
        return (
            f"{group}: cannot be chosen here: a checkpoint brings its own; only baseline=NAME "
            "without ckpt_path takes data, split, cleaning, tokenizer, augmentation and model"
        )
    return f"{group}: no such group{did_you_mean(group, groups_of(conf))}"


def _unknown_key(key: str, config_name: str, overrides: Sequence[str], conf: Path) -> str:
    """Name the nearest key of the config that the rest of the command line makes."""
    rest = [o for o in overrides if o.lstrip("+~").split("=")[0] != key]
    try:
        cfg = rehearse(config_name, rest, conf)
    except (HydraException, OmegaConfBaseException):
        cfg = rehearse(config_name, [], conf)  # more than one mistake: tell the first
    owners = _options_with(key, conf)
    if owners:
        return owners
    keys = [known for known in _keys(cfg) if known.split(".")[0] != "hydra"]
    told = f"{key}: no such key{_nearest_key(key, keys + groups_of(conf))}"
    if key.startswith("trainer.") and key.count(".") == 1:
        told += f" Any other argument of Lightning's Trainer is added with a plus: +{key}=VALUE"
    return told


def _options_with(key: str, conf: Path) -> str:
    """Say which other options of a group have a key that the one in use has not."""
    section, _, name = key.rpartition(".")
    group = section.replace(".", "/")
    if group not in groups_of(conf):
        return ""
    files = sorted((conf / group).glob("*.yaml"))
    owners = [file.stem for file in files if name in list(OmegaConf.load(file))]  # `???` too
    if not owners:
        return ""
    choices = " or ".join(f"{group}={owner}" for owner in owners)
    return f"{key}: the {group} in use has no {name}; add {choices}"


def _keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in cfg:
        path = f"{prefix}{name!s}"
        yield path
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_interpolation()):
            yield from _keys(node, f"{path}.")


def _similar(name: str, names: Sequence[str], cutoff: float) -> list[str]:
    return difflib.get_close_matches(name, names, n=1, cutoff=cutoff)


def _nearest_key(key: str, keys: Sequence[str]) -> str:
    """Prefer the same name in another section, then a similar key, then the section's keys."""
    section, _, name = key.rpartition(".")
    last = {known: known.rpartition(".")[2] for known in keys}
    siblings = [known for known in keys if section and known.rpartition(".")[0] == section]
    near = (
        [known for known in keys if last[known] == name]
        or [k for k in siblings if last[k] in _similar(name, [last[s] for s in siblings], 0.6)]
        or _similar(key, keys, 0.85)
        or [known for known in keys if last[known] in _similar(name, list(last.values()), 0.75)]
    )
    if near:
        return f"; did you mean {' or '.join(near[:3])}?"
    if siblings:
        return f"; {section} has: {', '.join(last[known] for known in siblings)}"
    return f"; at the top there are: {', '.join(dict.fromkeys(k for k in keys if '.' not in k))}"
