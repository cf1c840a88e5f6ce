"""The config of a checkpoint with the changes of an evaluation."""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from en2py.config import contradictions
from en2py.config.argument_types import argument_types
from en2py.config.composition import groups_of, typed
from en2py.config.instantiate import definition
from en2py.config.messages import unknown_key
from en2py.config.validation import check_arguments
from en2py.decoding.ctranslate2 import import_ctranslate2
from en2py.decoding.hypothesis import Engine
from en2py.errors import UserError, did_you_mean

log = logging.getLogger(__name__)


def config_changes(cfg: DictConfig) -> dict[str, Any]:
    """Return the sections of a checkpoint's config that an evaluation changes."""
    keys = ["cache", "processes", "batch", "decoding", "data"]
    changes: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, keys), resolve=True)
    if "source" in changes["data"]:  # data of the evaluation, not of the training
        changes["data"] = {"path": None}
    return dict(changes)


def evaluation_config(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a checkpoint with the changes of an evaluation.

    Where CTranslate2 cannot be used, `decoding.engine=auto` is left out, so that torch searches.
    """
    changed = {**config, **{key: changes[key] for key in ("cache", "processes", "batch")}}
    if (path := changes["data"]["path"]) is not None:
        changed["data"] = moved(config["data"], path)
    decoding = dict(changes["decoding"])
    if decoding["engine"] == "torch":
        del decoding["engine"]
    if "_target_" not in decoding:  # as trained
        known, _ = argument_types(definition(config["decoding"]["_target_"]))
        for name in decoding:
            if name not in (*known, "engine"):
                raise UserError(unknown_key(f"decoding.{name}", [*known], groups_of()))
        decoding = {**config["decoding"], **decoding}
    if decoding.get("max_len", 0) is None:
        decoding["max_len"] = config["model"]["max_tgt_len"]
    check_arguments("decoding", decoding, is_evaluation=True)
    changed["decoding"] = decoding
    contradictions.refuse(changed, contradictions.check_decoding)
    engine = decoding.get("engine")
    problem = engine and _engine_problem(changed)
    if engine == "auto" and not problem and find_spec("ctranslate2") is None:
        problem = "is not installed"
    if problem and engine != "auto":
        raise UserError(f"decoding.engine={engine} {problem}: use decoding.engine=torch")
    if problem:
        log.info(f"decoding.engine=auto: torch searches, because CTranslate2 {problem}")
        del decoding["engine"]
    elif engine:
        import_ctranslate2()
    return changed


def _engine_problem(config: Mapping[str, Any]) -> str | None:
    """Return what of a search or a model an engine does not support.

    A search that accepts an engine in place of the model says so by the type of its argument.
    """
    decoding, search = config["decoding"], definition(config["decoding"]["_target_"])
    known = argument_types(search)[0].values()
    accepts = any(kind and Engine in get_args(kind.annotation) for kind in known)
    neutral = {"no_repeat_ngram": None, "repetition_penalty": 1.0, "grammar": False}
    problems = {
        f"supports greedy and beam search, not {search.__name__.lower()}": not accepts,
        **{
            f"does not support decoding.{key}={typed(decoding.get(key))}": decoding.get(
                key, default
            )
            != default
            for key, default in neutral.items()
        },
        "does not support neighbours=nearest": config.get("neighbours"),
        "does not support model.copy=true": config["model"].get("copy"),
    }
    return next((problem for problem, is_met in problems.items() if is_met), None)


def moved(data: Mapping[str, Any], path: str | list[str] | Mapping[str, str]) -> dict[str, Any]:
    """Return a data section whose files are elsewhere.

    Args:
        data: The stored section.
        path: The file or folder, several, or a file per split; of a mixture that of its first
            source, or a mapping of sources.

    Raises:
        UserError: If a mixture has no such source, or the source reads no such files.
    """
    sources = data["source"].get("sources")
    if sources is None:
        return {**data, "path": path, "source": _moved_source("data.source", data["source"], path)}
    first = next(iter(sources))
    places = path if isinstance(path, Mapping) else {first: path}
    found = dict(sources)
    for name, place in places.items():
        if name not in sources:
            raise UserError(
                f"data.path={{{name}:{place}}}: the mixture has no such source"
                f"{did_you_mean(name, sources)}"
            )
        found[name] = _moved_source(f"data.source.sources.{name}", sources[name], place)
    top = {"path": places[first]} if first in places and "path" in data else {}
    return {**data, **top, "source": {**data["source"], "sources": found}}


def _moved_source(at: str, source: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """Return a source whose file is elsewhere; `at` is its dotted key."""
    key = next((key for key in ("path", "root") if key in source), None)
    if key is None:
        remedy = "name another as 'data.path={NAME:FILE}'" if ".sources." in at else "leave it out"
        raise UserError(f"data.path={typed(path)}: {at} of the training reads no file; {remedy}")
    written = {f"{at}.{key}": "${data.path}", "data.path": path}
    check_arguments(at, {**source, key: path}, is_evaluation=True, written=written)
    return {**source, key: path}
