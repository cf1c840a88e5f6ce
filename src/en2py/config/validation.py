"""Validate a resolved config, or raise a `UserError` with key, value and remedy in one sentence.

Sections with a `_target_` are compared with the signature of what they call, types and ranges
included; `value_types.py` has the types of other values and ranges of other packages' arguments.
Files, contradictions and `VALUES` come first, so torch is imported only where they are in order.
"""

import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.config import contradictions
from en2py.config.argument_types import (
    argument_types,
    positional_arguments,
    required_arguments,
)
from en2py.config.composition import CONF, READ, WRITTEN, default_options, leaves, nodes, typed
from en2py.config.effects import check_effects
from en2py.config.instantiate import allow_packages, check_allowed, definition
from en2py.config.messages import is_of_training, not_evaluated, unknown_key
from en2py.config.overrides import task_overrides
from en2py.config.paths import check_path, reads_folders, written_keys
from en2py.config.value_types import VALUES, Section, matches
from en2py.errors import UserError, did_you_mean

# Floats that `conf/` or its comments write as whole numbers, which the hashes of runs contain.
_WHOLE = ("cleaning.seconds_per_pair", "faults.spike")
# Arguments of parts that the run sets.
_OF_RUN = (
    *("scheduler.total_steps", "embeddings.vectors.seed", "decoding.tokenizer", "split.signatures"),
    *(f"model.{name}" for name in ("n_src", "n_tgt", "pad_id", "sep_id", "src_width", "tgt_width")),
)
# Of these, those that it always sets.
_ALWAYS = {"scheduler": "total_steps", "embeddings.vectors": "seed", "decoding": "tokenizer"}
# Parts that the run calls with arguments of its own, and parts that the config completes.
_PARTIAL = (
    *("data.source", "data.source.sources.*", "data.target.source", "data.target.source.sources.*"),
    *("cleaning.steps.*", "split", "augmentation", "neighbours", "embeddings.vectors", "model"),
    *("loss", "optimizer", "scheduler", "decoding", "trainer", "logger.*", "baselines.*"),
)
_COMPLETE = ("tokenizer.*", "callbacks.*")
_VOCABULARIES = ("the source vocabulary", "the target vocabulary")
# What the run passes to a part as its first arguments.
_PASSED = {
    **dict.fromkeys(_PARTIAL[:4], ("the report",)),
    "cleaning.steps.*": ("a pair",),
    "split": ("the pairs", "the report", "the fingerprints of the pairs"),
    "augmentation": ("the training pairs",),
    "neighbours": ("the training pairs", "their neighbours"),
    "embeddings.vectors": ("the tokens of all pairs", *_VOCABULARIES),
    "model": (*(f"the size of {vocabulary}" for vocabulary in _VOCABULARIES), "the id of padding"),
    "loss": _VOCABULARIES[1:],
    "optimizer": ("the named parameters",),
    "scheduler": ("the optimizer",),
    "decoding": ("the model", "the source ids", *_VOCABULARIES[1:]),
}
# Keys of options that every run reads, besides the arguments of a `_target_`.
_NEEDED = (
    *("data.name", "data.source", "cleaning.use", "cleaning.steps", "cleaning.seconds_per_pair"),
    *("tokenizer.src", "tokenizer.tgt", "embeddings.freeze_epochs", "embeddings.vectors"),
    *("model.max_src_len", "model.max_tgt_len"),
    *(key for key in VALUES if key.startswith("sandbox.")),
)


def validate(cfg: DictConfig, config_name: str = "train") -> None:
    """Raise an error for a mistake in the config of a job, before anything is read or written.

    The packages of `allowed_packages` may run from then on.

    Raises:
        UserError: With the value, the reason and the remedy.
    """
    written: Any = OmegaConf.to_container(cfg, resolve=False)
    _check_missing(written)
    _check_sections(written, config_name)  # first: other values refer to these sections
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    _check_keys(plain, written, config_name)
    for key, value in nodes(plain):
        _check_value(key, value)
    allow_packages(plain["allowed_packages"])
    is_resumed = config_name == "train" and plain["ckpt_path"]  # `resumed_config` checks that one
    of_checkpoint = contradictions.RESUMED if is_resumed else ()
    contradictions.refuse(plain, *(r for r in contradictions.FIRST if r not in of_checkpoint))
    if not is_resumed:
        check_effects(plain, task_overrides())
    for key, value in leaves(plain):
        if key not in WRITTEN or key in written_keys(plain):
            for path in value if isinstance(value, list) else [value]:
                check_path(key, path, plain, several=config_name != "train")
    values = dict(nodes(written))
    for key, section in nodes(plain):  # in this order, for most of the libraries come last
        if isinstance(section, Mapping) and "_target_" in section:
            check_arguments(key, section, is_evaluation=config_name != "train", written=values)
    check_allowed(plain)
    contradictions.refuse(plain, *(r for r in contradictions.LAST if r not in of_checkpoint))


def check_values(config: Section) -> None:
    """Compare each value of a resolved training config, alone, with its type and range.

    Raises:
        UserError: With the value, the reason and the remedy.
    """
    allow_packages(config["allowed_packages"])
    for key, value in nodes(config):
        _check_value(key, value)
        if isinstance(value, Mapping) and "_target_" in value:
            check_arguments(key, value, is_evaluation=False)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return a composed config as the plain containers that a run is named by.

    Raises:
        UserError: If its `_target_`s may not run.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    check_allowed(plain)
    return with_floats(plain)


def with_floats(config: Section, at: str = "") -> dict[str, Any]:
    """Convert whole numbers of a config, or its section `at` a key, to floats where they are meant.

    So `model.dropout=0` and `model.dropout=0.0` are one run.
    """
    known = argument_types(definition(config["_target_"]))[0] if "_target_" in config else {}
    found = {}
    for name, value in config.items():
        key = f"{at}.{name}" if at else name
        types = [kind for pattern, kind in VALUES.items() if matches(key, pattern)]
        if key not in _WHOLE and (kind := next(iter(types), known.get(name))):
            value = kind.with_floats(value)
        found[name] = with_floats(value, key) if isinstance(value, Mapping) else value
    return found


def _check_missing(written: Section) -> None:
    # Unresolved, because `data.source.path: ${data.path}` is missing only if `data.path` is.
    for key, value in leaves(written):
        if value == "???":
            name = key.rpartition(".")[2]
            is_folder = name in ("root", "pretrained") or reads_folders(key, written)
            kind = "FOLDER" if is_folder else "FILE" if name in READ else "VALUE"
            raise UserError(f"{key} is needed: add {key}={kind}")


def _check_sections(config: Section, config_name: str) -> None:
    """Refuse a config without a key or group of its primary config, or with a value for a group."""
    primary, options = _primary(config_name)
    groups = [group for group, option in options.items() if option]
    for key in [*primary, *groups]:
        if key not in (*config, "hydra", "experiment"):
            raise UserError(f"{key} is needed; take {key}=null or ~{key} off the command line")
        is_section = key in groups or isinstance(primary[key], dict)
        if key in config and is_section and not isinstance(config[key], Mapping):
            inner = ", ".join(known for known in VALUES if known.startswith(f"{key}."))
            raise UserError(
                f"{key}={typed(config[key])}: expected a section of keys; set one of {inner}"
            )
    present = dict(nodes(config))
    for key in (*dict(nodes(primary)), *_NEEDED) if config_name == "train" else ():
        if key not in present and key.partition(".")[0] in config:
            raise UserError(f"{key} is needed, and no option of this config sets it")


@functools.cache
def _primary(config_name: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the keys of a primary config, and its groups with their default options."""
    keys: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{config_name}.yaml"))
    for entry in keys.pop("defaults"):
        if isinstance(entry, str) and entry != "_self_":
            keys = _primary(entry)[0] | keys
    groups: dict[str, str | None] = {}
    for group, option in default_options(config_name).items():
        top = group.partition("/")[0]
        groups[top] = option or groups.get(top)
    return keys, groups


def _check_keys(config: Section, written: Section, config_name: str) -> None:
    """Refuse a key that nothing reads: added with a plus, or mistyped in an experiment file.

    A key is read by the program if its primary config or `VALUES` has it, by a reference in another
    value, or as an argument of its section's `_target_`, which `check_arguments` compares.
    """
    primary, groups = _primary(config_name)
    keys = [*(key for key, _ in nodes(primary) if key != "hydra"), *groups]
    referenced = set(re.findall(r"\$\{([\w.]+)\}", json.dumps(written)))

    def is_read(key: str, value: Any) -> bool:
        top, _, name = key.partition(".")
        if config_name != "train" and top == "decoding":
            return True  # its option is merged with that of the checkpoint, and checked there
        if key in referenced:
            return True
        is_path = top in groups and name in ("path", "root") and value is not None
        if is_path and top != "tokenizer":  # `check_pieces` compares that one
            return config_name == "evaluate"
        patterns = VALUES if top in groups else ("baselines.*",) if value is not None else ()
        return key in keys or (top in keys and any(matches(key, known) for known in patterns))

    # Files by name, and sections with a `_target_`, or passed on whole by a reference.
    called: tuple[str, ...] = ("data.path.",)
    for key, value in nodes(config):
        if key.startswith(called):
            continue
        if not is_read(key, value):
            if config_name != "train" and is_of_training(key, (*primary, *groups)):
                raise UserError(not_evaluated(key))
            known = [k for k in VALUES if "*" not in k and k.partition(".")[0] in groups]
            raise UserError(unknown_key(key, list(dict.fromkeys([*keys, *known])), groups))
        if isinstance(value, Mapping) and ("_target_" in value or key in referenced):
            called += (f"{key}.",)


def _check_value(key: str, value: Any) -> None:
    """Compare a section or value with `VALUES`; texts must be UTF-8, for they are written to files.

    Python represents other bytes of a file name by half surrogates.
    """
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        encoding = sys.getfilesystemencoding()
        remedy = "rename it, or link to it by another name (ln -s)"
        raise UserError(
            f"{key}={value!a} is no {encoding.upper()} text; "
            f"{remedy if encoding == 'utf-8' else 'set the environment variable PYTHONUTF8=1'}"
        )
    group = key.replace(".", "/")
    if isinstance(value, str) and group != key and (CONF / group).is_dir():
        raise UserError(
            f"{key}={value}: expected a section of keys; choose an option: {group}=NAME"
        )
    for expected in (kind for known, kind in VALUES.items() if matches(key, known)):
        expected.validate(key, value)
    name = key.rpartition(".")[2]
    if name in ("prompt", *READ, *WRITTEN) and isinstance(value, str) and not value.strip():
        raise UserError(f"{key} is empty: set a value, or leave it out")


def check_arguments(
    at: str, section: Section, *, is_evaluation: bool, written: Section | None = None
) -> None:
    """Compare a section with the signature of its target.

    Args:
        at: The dotted key of the section.
        section: With a `_target_`.
        is_evaluation: Accept `decoding.engine`, and null for `decoding.max_len`: the limit of each
            checkpoint.
        written: Dotted keys to unresolved values: a value that is copied from another key, as
            `data.source.path` from `data.path`, is reported by that key.
    """
    check_allowed(section, at)
    _check_partial(at, section)
    _check_passed(at, section)
    if matches(at, "callbacks.*"):
        _check_callback(at, section)
    known, any_keyword = argument_types(definition(section["_target_"]))
    if (given := _ALWAYS.get(at)) and given not in known and not any_keyword:
        raise UserError(
            f"{at}._target_={section['_target_']}: it has no argument {given}, which the run sets; "
            "choose another, or call it from a function of your own (docs/own_parts.md)"
        )
    known = {name: kind for name, kind in known.items() if f"{at}.{name}" not in _OF_RUN}
    for name in _required(at, section) - {*section}:
        if not is_evaluation and f"{at}.{name}" not in _OF_RUN:
            raise UserError(f"{at}.{name} is needed: {section['_target_']} has no default for it")
    for name, value in section.items():
        key = f"{at}.{name}"
        set_later = key == "decoding.engine" or (key == "decoding.max_len" and value is None)
        if name in ("_target_", "_partial_") or (set_later and is_evaluation):
            continue
        if name not in known and not any_keyword:
            near = did_you_mean(name, known)
            raise UserError(f"{key}: {section['_target_']} has no argument {name}{near}")
        expected = known.get(name)
        if expected and not any(matches(key, known) for known in VALUES):  # compared before
            expected.validate(_origin(key, written or {}), value)


def _check_partial(at: str, section: Section) -> None:
    """Refuse a part that Hydra would call too early, or not at all."""
    is_partial = section.get("_partial_") is True
    if not is_partial and any(matches(at, pattern) for pattern in _PARTIAL):
        raise UserError(
            f"{at}._partial_ is needed, because the run calls {section['_target_']} with further "
            "arguments: write _partial_: true below _target_"
        )
    if is_partial and any(matches(at, pattern) for pattern in _COMPLETE):
        raise UserError(
            f"{at}._partial_=true: nothing would call {section['_target_']} again; leave it out"
        )


def _passed(at: str, function: Callable[..., Any]) -> Sequence[str]:
    """Return what the run passes to a part as its first arguments."""
    if at == "decoding" and inspect.isclass(function):  # what it constructs is called with these
        return ()
    return next((what for pattern, what in _PASSED.items() if matches(at, pattern)), ())


def _check_passed(at: str, section: Section) -> None:
    """Refuse a part without the arguments that the run passes, and a value for one of these."""
    passed = _passed(at, function := definition(section["_target_"]))
    names, any_number = positional_arguments(function)
    if len(names) < len(passed) and not any_number:
        raise UserError(
            f"{at}._target_={section['_target_']}: it has no positional argument for "
            f"{passed[len(names)]}, which the run passes; choose another, or add one "
            "(docs/own_parts.md)"
        )
    for name, what in zip(names, passed, strict=False):
        if name in section:
            raise UserError(f"{at}.{name}: the run passes {what} as this argument; leave it out")


def _check_callback(at: str, section: Section) -> None:
    """Refuse a class that is no callback, and methods that do not take what Lightning passes."""
    from pytorch_lightning import Callback  # takes seconds

    found = definition(section["_target_"])
    if not inspect.isclass(found):
        return
    if not issubclass(found, Callback):
        raise UserError(
            f"{at}._target_={section['_target_']}: not a subclass of pytorch_lightning.Callback, "
            "so Lightning cannot call it"
        )
    for name, hook in vars(Callback).items():
        own = getattr(found, name)
        if own is hook or not (inspect.isfunction(hook) and inspect.isfunction(own)):
            continue
        passed, _ = positional_arguments(hook)
        names, any_number = positional_arguments(own)
        if len(names) < len(passed) and not any_number:
            raise UserError(
                f"{at}._target_={section['_target_']}: its method {name} takes "
                f"({', '.join(names)}), and Lightning passes ({', '.join(passed)})"
            )


def _required(at: str, section: Section) -> frozenset[str]:
    """Return the arguments that a section has to set, as far as the run does not pass them."""
    names, _ = positional_arguments(function := definition(section["_target_"]))
    known = any(matches(at, pattern) for pattern in (*_PASSED, *_COMPLETE))
    return required_arguments(function) - {
        *(names[: len(_passed(at, function))] if known else names)
    }


def _origin(key: str, written: Section) -> str:
    """Return the key that a value is copied from: `data.path` for `path: ${data.path}`."""
    value = written.get(key)
    pattern = r"\$\{(?:oc\.select:)?([\w.]+)(?:,\w+)?\}"
    copied = re.fullmatch(pattern, value) if isinstance(value, str) else None
    return _origin(copied[1], written) if copied and copied[1] in written else key
