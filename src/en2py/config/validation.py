"""A resolved config -> None, or `UserError` in one sentence; without torch, so it takes a second.

Which keys a section may have and of which type their values are, the code says that it calls
(`signatures.py`); sections that call nothing are held against the file that they come from. This
file adds what no annotation says: ranges and choices (`rules.py`), files that must exist, and what
goes together.
"""

import difflib
import fnmatch
import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from en2py.config.instantiate import check_targets
from en2py.config.ranges import CHOICES, RULES
from en2py.config.signatures import WORDS, parameters
from en2py.errors import UserError, did_you_mean

FILES = ("path", "ckpt_path", "init_from", "prompts", "results")  # must exist, by their last part
CHECKPOINTS = ("ckpt_path", "init_from")  # whoever loads them knows the newest good one
FOLDERS = ("root",)
WRITTEN = ("output", "cache", "folder", "export")  # may be made


def check(cfg: DictConfig, config_name: str = "train") -> None:
    """Refuse what a person got wrong, before anything is read, written or imported.

    Args:
        cfg: The composed config.
        config_name: The file of `conf/` that it was composed from.

    Raises:
        UserError: With the value, the reason and the remedy.
    """
    _check_missing(cfg)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    check_targets(plain)
    for key, value in _leaves(plain):
        _check_value(key, value)
    _check_steps(plain)
    if "baselines" in plain:
        _check_entrants(plain)
    _check_types(plain, config_name)
    _check_shapes(plain)
    _check_starts(plain)
    _check_sweep(plain)
    for key, value in _leaves(plain):
        _check_path(key, value, several=config_name == "evaluate")


def expand_paths(text: str) -> list[Path]:
    """Find the files that a path, a comma list or a glob pattern names.

    Args:
        text: As typed; a file of exactly this name comes first.

    Returns:
        The files in the order given, those of a pattern sorted; a missing one as it was written.
    """
    if Path(text).exists():
        return [Path(text)]
    found: list[Path] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        part = os.path.expanduser(part)
        found += [Path(p) for p in sorted(glob.glob(part, recursive=True))] or [Path(part)]
    return found


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is not a section, with its dotted key; a list is one value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
        for inner in value if isinstance(value, list) else ():
            if isinstance(inner, Mapping):
                yield from _leaves(inner, key)


def _check_missing(cfg: DictConfig) -> None:
    # Unresolved, because `data.source.path: ${data.path}` is missing only if `data.path` is.
    written: Any = OmegaConf.to_container(cfg, resolve=False)
    for key, value in _leaves(written):
        if value == "???":
            kind = "FILE" if key.rpartition(".")[2] in FILES else "VALUE"
            raise UserError(f"{key} is needed: add {key}={kind}")


def _check_types(config: Mapping[str, Any], config_name: str) -> None:
    """Hold each value against the type that its place asks for."""
    for key, section in _sections(config):
        if "_target_" in section:
            _check_call(key, section, null_is_later=config_name == "evaluate")
    for key, default in _defaults(config_name):
        value = _select(config, key)
        if value is not _ABSENT:
            _check_like(key, value, default)
        elif "." not in key:
            raise UserError(f"{key} is needed; take {key}=null or ~{key} off the command line")


_ABSENT = object()
_WIRING = ("engine",)  # says who is called, and is no argument


def _select(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return _ABSENT  # taken out on purpose
        value = value[name]
    return value


def _sections(config: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield key, config
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _sections(value, f"{key}.{name}" if key else str(name))


def _check_call(at: str, section: Mapping[str, Any], *, null_is_later: bool) -> None:
    """Hold a section against what it calls; in an evaluation null stands for `as trained`."""
    try:
        known = parameters(str(section["_target_"]))
    except UserError as error:
        raise UserError(f"{at}._target_={section['_target_']}: {error}") from None
    for name, value in section.items():
        if known is None or name in ("_target_", "_partial_", "_convert_", "_recursive_", *_WIRING):
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            told = f"; the nearest names are {', '.join(near)}" if near else ""
            raise UserError(f"{at}.{name}: {section['_target_']} takes no {name}{told}")
        annotation = None if value is None and null_is_later else known[name]
        if annotation is not None and not annotation.accepts(value):
            raise UserError(f"{at}.{name}={_typed(value)}: expected {annotation.words()}")


def _defaults(config_name: str) -> Iterator[tuple[str, Any]]:
    """Yield what the files say that this config was composed from, sections before their keys."""
    conf = Path(__file__).resolve().parents[3] / "conf"
    primary: Any = OmegaConf.to_container(OmegaConf.load(conf / f"{config_name}.yaml"))
    usual = [entry for entry in primary["defaults"] if isinstance(entry, dict)]
    files = {"": conf / f"{config_name}.yaml"}
    for group, option in ((g, o) for entry in usual for g, o in entry.items()):
        if option is None or group in ("hydra", "experiment") or " " in group:
            continue
        if HydraConfig.initialized():
            option = HydraConfig.get().runtime.choices.get(group) or option
        files[group] = conf / group / f"{option}.yaml"
    for group, file in files.items():
        prefix = group.replace("/", ".")
        if not file.is_file():
            continue  # from a search path: an experiment's own option
        raw: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        if prefix:
            yield prefix, raw
        for key, section in _sections(raw if isinstance(raw, dict) else {}):
            if "_target_" in section:
                continue  # its signature knows better
            for name, default in section.items():
                if name not in ("defaults", "hydra"):
                    yield ".".join(filter(None, (prefix, key, str(name)))), default


def _check_like(key: str, value: Any, default: Any) -> None:
    if isinstance(default, dict):
        if not isinstance(value, Mapping) and (value is not None or "." not in key):
            names = ", ".join(f"{key}.{name}" for name in default)
            raise UserError(f"{key}={_typed(value)}: a section, not a value; set one of {names}")
        return
    kind = type(default).__name__
    if (
        default is None
        or value is None
        or (isinstance(default, str) and default[:2] in ("??", "${"))
    ):
        return
    numbers = {"int", "float"}  # 5 for a default of 0.5, and 0.5 minutes for 5
    if type(value).__name__ != kind and not {type(value).__name__, kind} <= numbers:
        raise UserError(f"{key}={_typed(value)}: expected {WORDS.get(kind, 'a list in brackets')}")


def _check_value(key: str, value: Any) -> None:
    name = key.rpartition(".")[2]
    rule = next((rule for like, rule in RULES.items() if fnmatch.fnmatchcase(name, like)), None)
    if rule is not None and value is not None:
        for item in value if isinstance(value, list) else [value]:
            if not rule.test(item):
                raise UserError(f"{key}={_typed(item)}: expected {rule.words}")
    choices = CHOICES.get(key)
    if choices is not None and value is not None and str(value) not in choices:
        raise UserError(f"{key}={_typed(value)}: no such choice{did_you_mean(str(value), choices)}")
    if name in ("prompt", *FILES, *FOLDERS) and isinstance(value, str) and not value.strip():
        raise UserError(f"{key} is empty: give it a value, or leave it out")


def _check_shapes(config: Mapping[str, Any]) -> None:
    for key, section in _sections(config):
        d_model, n_heads = section.get("d_model"), section.get("n_heads")
        if isinstance(d_model, int) and isinstance(n_heads, int) and d_model % n_heads:
            near = [h for h in range(1, d_model + 1) if d_model % h == 0]
            best = min(near, key=lambda h: abs(h - n_heads))
            raise UserError(
                f"{key}.n_heads={n_heads}: does not divide {key}.d_model={d_model}; "
                f"the nearest number of heads that does is {best}"
            )
        ratios = section.get("ratios")
        if isinstance(ratios, list) and (len(ratios) != 3 or abs(sum(ratios) - 1) > 1e-6):
            raise UserError(
                f"{key}.ratios={_typed(ratios)}: expected three numbers (train, val, test) "
                f"that sum to 1; these {len(ratios)} sum to {sum(ratios):g}"
            )

    longest, room = _select(config, "decoding.max_len"), _select(config, "model.max_tgt_len")
    if isinstance(longest, int) and isinstance(room, int) and longest > room:
        raise UserError(
            f"decoding.max_len={longest}: more than the model can write, model.max_tgt_len={room}"
        )


def _check_steps(config: Mapping[str, Any]) -> None:
    """Hold the members of the lists of parts: each is a part, or switched off."""
    cleaning = config.get("cleaning") or {}
    for name in cleaning.get("use") or {}:
        if name not in (cleaning.get("steps") or {}):
            raise UserError(
                f"cleaning.use.{name}: there is no cleaning.steps.{name}"
                f"{did_you_mean(name, cleaning['steps'])}"
            )
    for name, step in (config.get("callbacks") or {}).items():
        if step is not None and not (isinstance(step, Mapping) and "_target_" in step):
            raise UserError(
                f"callbacks.{name}={_typed(step)}: expected null, which switches it off, or a "
                "section with a _target_, as in conf/callbacks/"
            )


def _check_starts(config: Mapping[str, Any]) -> None:
    if config.get("ckpt_path") and config.get("init_from"):
        raise UserError(
            "ckpt_path and init_from exclude each other: ckpt_path goes on with the same run, "
            "init_from starts a new one from its weights"
        )
    if config.get("ckpt_path") and config.get("fresh"):
        raise UserError(
            "fresh=true and ckpt_path exclude each other: fresh trains from the start, ckpt_path "
            "goes on; for new training from known weights there is init_from=FILE"
        )
    if config.get("prompt") is not None and config.get("prompts") is not None:
        raise UserError("prompt and prompts exclude each other: give one text or a file of them")


def _check_entrants(config: Mapping[str, Any]) -> None:
    """Hold what an evaluation is to score: checkpoints, baselines, or stored results."""
    if not any(config.get(name) for name in ("ckpt_path", "baseline", "results", "study")):
        raise UserError("ckpt_path is needed: add ckpt_path=FILE")
    if not config.get("ckpt_path"):
        for name in ("prompt", "prompts"):
            if config.get(name) is not None:
                raise UserError(f"{name} needs a model that answers: add ckpt_path=FILE")
    data = config["data"]
    source = data.get("source") or {}
    if data.get("path") is None and "path" in source and "url" not in source:
        raise UserError("data.path is needed: add data.path=FILE")
    known = [*config["baselines"], "none"]
    for name in filter(None, str(config.get("baseline") or "").split(",")):
        if name.strip() not in known:
            raise UserError(
                f"baseline={name.strip()}: no such baseline{did_you_mean(name.strip(), known)}"
            )


def _check_sweep(config: Mapping[str, Any]) -> None:
    if not HydraConfig.initialized():
        return
    hydra = HydraConfig.get()
    params = hydra.sweeper.get("params")
    if hydra.mode != RunMode.MULTIRUN and params:
        raise UserError(f"this experiment is a sweep over {', '.join(params)}: add -m to run it")
    strategy = str((config.get("trainer") or {}).get("strategy") or "")
    frozen = (config.get("embeddings") or {}).get("freeze_epochs") or 0
    if strategy.startswith("ddp") and frozen > 0:
        raise UserError(
            f"embeddings.freeze_epochs={frozen}: tables that start to learn later would differ "
            f"between the processes of trainer.strategy={strategy}; take 0 or -1, or one device"
        )


def _check_path(key: str, value: Any, *, several: bool) -> None:
    name = key.rpartition(".")[2]
    if not isinstance(value, str):
        return
    if name in WRITTEN and "." not in key:
        _check_writable(key, Path(value))
    elif name in FILES:
        wide = several and name == "ckpt_path"
        for path in expand_paths(value) if wide else [Path(value)]:
            _check_exists(key, path)
            if path.is_dir() and not wide:
                raise UserError(f"{key}={path}: this is a folder, expected a file")
            if name not in CHECKPOINTS and path.is_file() and path.stat().st_size == 0:
                raise UserError(f"{key}={path}: this file is empty")
    elif name in FOLDERS:
        _check_exists(key, Path(value))
        if not Path(value).is_dir():
            raise UserError(f"{key}={value}: this is a file, expected a folder")


def _check_exists(key: str, path: Path) -> None:
    if path.exists():
        return
    above = path.parent
    while not above.exists():
        path, above = above, above.parent
    if above.is_file():
        raise UserError(f"{key}={path}: {above} is a file, not a folder")
    names = sorted(entry.name for entry in above.iterdir())[:10_000]
    near = did_you_mean(path.name, names)
    told = near if near.startswith("; did") else ""
    raise UserError(f"{key}: {path} does not exist (looked in {above.resolve()}){told}")


def _check_writable(key: str, path: Path) -> None:
    while not path.exists():
        path = path.parent
    if not path.is_dir():
        raise UserError(f"{key}: {path} is a file, expected a folder")
    if not os.access(path, os.W_OK):
        raise UserError(f"{key}: {path} may not be written to; take another folder: {key}=FOLDER")


def _typed(value: Any) -> str:
    """Show a value as one types it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(_typed(item) for item in value)}]"
    return str(value)
