"""Compose configs: paths, groups and options, resolvers, cores."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import resources
from importlib.readers import MultiplexedPath
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from en2py.console import IS_CHECKOUT
from en2py.data.files import cache_variable
from en2py.data.parallel import n_cores
from en2py.errors import UserError

# A wheel holds `conf` and the presets in the package; a checkout has them at its top level.
_PACKAGE = Path(__file__).resolve().parents[1]
_HOME = _PACKAGE.parents[1] if IS_CHECKOUT else _PACKAGE
CONF = _HOME / "conf"
PRESETS = _HOME / "experiments"
ROOT = _HOME if IS_CHECKOUT else Path.cwd()  # `outputs` is in it
# Keys whose values are paths, by their last part: `path` is `data.path` and `embeddings.path` too.
DATA_FILES = ("path", "root")  # of data, word vectors and pieces; `root` is a folder
CHECKPOINTS = ("ckpt_path", "init_from")
READ = (*DATA_FILES, *CHECKPOINTS, "prompts", "results")
WRITTEN = ("output", "cache", "folder", "export")
SWEPT = (*DATA_FILES, "init_from", "pretrained")  # whose comma lists are sweeps under -m
NO_PRESET = "~experiment"  # the override that is added to a typed `data=`
Config = Mapping[str, Any]


def without_preset(config_name: str, overrides: Sequence[str]) -> list[str]:
    """Drop the default preset, `experiment: tasks` in train.yaml, where data are chosen."""
    groups = {override.lstrip("+~").partition("=")[0] for override in overrides}
    replaced = config_name != "evaluate" and "data" in groups and "experiment" not in groups
    return [*overrides, *([NO_PRESET] if replaced else [])]


def with_presets(overrides: Sequence[str]) -> list[str]:
    """Add our presets to a `hydra.searchpath=[...]`, which replaces that of train.yaml."""
    presets = f"'file://{PRESETS}'"
    words = []
    for word in overrides:
        found = re.fullmatch(r"(hydra\.searchpath=)\[(.*)\]", word, re.DOTALL)
        if found and presets not in word:
            own_folders([word])
            word = f"{found[1]}[{', '.join(filter(None, [found[2].strip(), presets]))}]"
        words.append(word)
    return words


def compose_config(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose the config of a command line, Hydra's own settings under `hydra`.

    A sweep is composed with the first value of each axis.
    """
    words = with_presets(without_preset(config_name, overrides))
    first = []
    for override in OverridesParser.create().parse_overrides(words):
        is_sweep, line = override.is_sweep_override(), str(override.input_line)
        first += words_of(override)[:1] if is_sweep else [line]  # an interval has no first value
    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None  # a job's, if any
    try:
        with initialize_config_dir(str(CONF), version_base="1.3", job_name=config_name):
            return compose(config_name, first, return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running


def discrete_values(override: Override) -> list[str]:
    """Return the values of a sweep as texts; Hydra loses the quotes of `choice('a b')`."""
    values = list(override.sweep_string_iterator())
    text = str(override.input_line).partition("=")[2]
    return [text[len("choice(") : -1]] if len(values) == 1 and text[:7] == "choice(" else values


def words_of(override: Override) -> list[str]:
    """Return an override as a word for each of its values; none for an interval."""
    key = override.get_key_element()
    if override.is_delete() and override.value() is None:
        return [key]  # `~experiment`
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    is_discrete = override.is_discrete_sweep()
    return [f"{key}={value}" for value in discrete_values(override)] if is_discrete else []


def choices_of(hydra: Any) -> dict[str, str]:
    """Return the chosen option of each group, without Hydra's own groups."""
    choices = hydra.runtime.choices.items()
    return {str(group): str(option) for group, option in choices if str(group)[:5] != "hydra"}


def without_hydra(composed: DictConfig) -> DictConfig:
    """Return the config that a run gets: a copy without Hydra's own settings."""
    cfg = composed.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


@contextmanager
def job_of(composed: DictConfig) -> Iterator[DictConfig]:
    """Let `HydraConfig` return the settings of a composed config; yield it without them."""
    hydra = HydraConfig.instance()
    earlier, hydra.cfg = hydra.cfg, None
    try:
        hydra.set_config(composed)
        yield without_hydra(composed)
    finally:
        hydra.cfg = earlier


def default_options(config_name: str = "train") -> dict[str, str | None]:
    """Return the default option of each group of a primary config, without presets."""
    found: dict[str, str | None] = {}
    for entry in OmegaConf.load(CONF / f"{config_name}.yaml").defaults:
        if entry != "_self_":  # evaluate_data.yaml extends evaluate.yaml
            found |= default_options(entry) if isinstance(entry, str) else entry
    return {group: found[group] for group in found if group not in ("hydra", "experiment")}


@cache
def groups_of() -> list[str]:
    """List the config groups without Hydra's own."""
    folders = {path.parent.relative_to(CONF).as_posix() for path in CONF.glob("*/**/*.yaml")}
    return sorted({f for f in folders if f.split("/")[0] != "hydra"} | {"experiment"})


def options_of(group: str, own: Sequence[Path] = ()) -> list[str]:
    """List the options of a group, such as `tokenizer/src`; `own` are folders of the user.

    A file whose name starts with `_` is only a part of others.
    """
    files = (path for folder in (CONF, PRESETS, *own) for path in (folder / group).glob("*.yaml"))
    return sorted({path.stem for path in files if path.stem[0] != "_"})


def keys_of_option(group: str, option: str, own: Sequence[Path] = ()) -> list[str]:
    """List the keys that an option of `@package _global_` sets, beside those of its `defaults`."""
    for folder in (CONF, PRESETS, *own):
        file = folder / group / f"{option}.yaml"
        if file.is_file() and "# @package _global_" in file.read_text(encoding="utf-8"):
            content: Any = OmegaConf.to_container(OmegaConf.load(file))
            return [key for key, _ in leaves(content) if key.partition(".")[0] != "defaults"]
    return []


def own_folders(overrides: Sequence[str]) -> list[Path]:
    """Return the folders of config groups that `hydra.searchpath=[...]` adds.

    Raises:
        UserError: If one does not exist.
    """
    folders = []
    for word in overrides:
        if not re.match(r"hydra\.searchpath=\[", word):
            continue
        for place in OverridesParser.create().parse_override(word).value():  # type: ignore[union-attr]
            kind, _, name = str(place).partition("://")
            try:
                found = resources.files(name) if kind == "pkg" else Path(name)
            except ModuleNotFoundError:
                found = Path()
            if isinstance(found, MultiplexedPath):  # Hydra takes no namespace package
                raise UserError(
                    f"hydra.searchpath: the folder of {place} has no file __init__.py; add an "
                    "empty one, or name the folder, file://FOLDER"
                )
            folder = Path(str(found))
            if kind not in ("file", "pkg") or not name or not folder.is_dir() or not folder.name:
                raise UserError(
                    f"hydra.searchpath: {place} is neither file://FOLDER of a folder nor "
                    "pkg://PACKAGE of an importable package with config groups"
                )
            folders.append(folder)
    return folders


def leaves(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value that is not a section, with its dotted key; a list is one value."""
    return ((key, value) for key, value in nodes(config) if not isinstance(value, Mapping))


def nodes(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each section and value with its dotted key, sections before their values."""
    if key:
        yield key, value
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from nodes(inner, f"{key}.{name}" if key else str(name))
    for inner in value if isinstance(value, list) else ():
        if isinstance(inner, Mapping):
            yield from nodes(inner, key)


def value_at(config: Any, key: str, default: Any = None) -> Any:
    """Return the value of a dotted key; the default where it, or a section of it, is null."""
    for name in key.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return default if config is None else config


def typed(value: Any) -> str:
    """Write a value as on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(typed, value))}]"
    return str(value)


def share_of(launcher: Mapping[str, Any]) -> int:
    """Return the cores of one run where a launcher starts several on this machine at once."""
    return int(launcher.get("cores") or max(1, n_cores() // (launcher.get("n_jobs") or 1)))


def n_at_once(launcher: Mapping[str, Any]) -> int:
    """Return how many runs a launcher executes at the same time, on this machine or a cluster."""
    return int(launcher.get("n_jobs") or launcher.get("array_parallelism") or 1)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain containers with each text in them changed."""
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def escape(value: Any) -> Any:
    """Keep OmegaConf from reading `${` in a stored text as a reference."""
    return mapped(value, lambda text: text.replace("${", "\\${"))


def _options_text(group: str) -> str:
    return ", ".join(options_of(group)) or "none yet"


def _groups_text() -> str:
    lines = (f"{group}: {_options_text(group)}" for group in groups_of())
    wrap = partial(textwrap.wrap, width=78, subsequent_indent="  ", break_long_words=False)
    return "\n  ".join(line for text in lines for line in wrap(text))


def _cache() -> str:
    return str(cache_variable() or ROOT / "outputs" / ".cache")


# Registered on import: a launcher's worker process composes the job's config right after it has
# imported this module.
OmegaConf.register_new_resolver("root", lambda: str(ROOT), replace=True)
OmegaConf.register_new_resolver("cache", _cache, replace=True)
OmegaConf.register_new_resolver("presets", lambda: str(PRESETS), replace=True)
OmegaConf.register_new_resolver("options", _options_text, replace=True)
OmegaConf.register_new_resolver("groups", _groups_text, replace=True)
OmegaConf.register_new_resolver("cores", lambda most: min(n_cores(), most), replace=True)
