"""Resume from a checkpoint: find it, merge its config with the command line, validate both."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from en2py.config import contradictions
from en2py.config.composition import (
    DATA_FILES,
    NO_PRESET,
    escape,
    keys_of_option,
    own_folders,
    typed,
)
from en2py.config.effects import check_effects
from en2py.config.instantiate import make
from en2py.config.run_name import differences
from en2py.config.validation import check_values
from en2py.console import duration
from en2py.data.files import csv_text, remove_leftovers, write_atomically
from en2py.data.prepare import Prepared
from en2py.errors import UserError
from en2py.training.callbacks.checkpointing import BestCheckpoint
from en2py.training.callbacks.throughput import TrainingTime
from en2py.training.checkpoints import (
    is_valid,
    is_whole,
    load_checkpoint,
    locate_data,
    newest_valid,
)
from en2py.training.distributed import is_rank_zero
from en2py.training.module import constructed

log = logging.getLogger(__name__)

# Options of the resumed run, never of the run that wrote the checkpoint.
# (`init_from` stays that of the checkpoint: an evaluation looks there for pairs of its weights.)
_OWN = ("ckpt_path", "study", "fresh", "output", "cache", "processes", "logger",
        "allowed_packages", "show_config")  # fmt: skip
# These sections may change: `RestoredState` applies them over restored state. The weights depend
# on all others, which must match; otherwise use `init_from`.
_CHANGEABLE = (*_OWN, "optimizer", "scheduler", "callbacks", "trainer", "batch", "decoding",
               "checkpoints", "sandbox", "behaviour", "faults", "compute")  # fmt: skip
# Of the same option of `data`, whose file may have moved; its other settings stay as they were.
_PLACES = tuple(f"data.{place}{name}" for place in ("", "source.") for name in DATA_FILES)


def resumed_config(
    cfg: DictConfig, overrides: list[str], choices: dict[str, str], checkpoint: dict[str, Any]
) -> tuple[DictConfig, dict[str, str]]:
    """Return the checkpoint's config with the overrides of the command line, and its choices.

    Raises:
        UserError: If an override changes a section that the weights depend on, contradicts the
            config of the checkpoint, cannot take effect on the state of the optimizer, or is of a
            callback that the checkpoint's run does not have; or if training is complete.
    """
    _check_whole(cfg.ckpt_path, checkpoint)
    stored = checkpoint["en2py"]
    merged, merged_choices = _merged(cfg, overrides, choices, stored)
    _check_callbacks(merged, choices.get("callbacks", "default"))
    config: Any = OmegaConf.to_container(merged, resolve=True)
    config["data"] = locate_data(
        config, stored.get("files", {}), cfg.ckpt_path, _place_of_data(stored)
    )
    OmegaConf.update(merged, "data", escape(config["data"]), merge=False)
    _check_changes(stored["config"], config, cfg.ckpt_path)
    check_values(config)
    contradictions.refuse(config, *contradictions.RESUMED)
    check_effects(config, overrides)
    _check_optimizer(stored["config"]["optimizer"], config["optimizer"], checkpoint)
    _check_limits(stored["config"], config, checkpoint, cfg.ckpt_path)
    return merged, merged_choices


def _place_of_data(stored: Mapping[str, Any]) -> str:
    """Return how a command line names the present place of the data of a checkpoint."""
    key = next((name for name in DATA_FILES if stored["config"]["data"].get(name)), None)
    if key is None:
        return "put it there again"
    return f"data={stored['choices']['data']} data.{key}=FILE names its present place"


def _merged(
    cfg: DictConfig, overrides: list[str], choices: dict[str, str], stored: Mapping[str, Any]
) -> tuple[DictConfig, dict[str, str]]:
    """Return the stored config with what was typed and the options of this run, and its choices."""
    merged = OmegaConf.create(escape(stored["config"]))
    merged_choices = {**stored["choices"], **{g: o for g, o in choices.items() if g in _OWN}}
    folders = own_folders(list(HydraConfig.get().overrides.hydra))
    for override in overrides:
        group = override.lstrip("+~").split("=")[0].split("@")[0]
        key = group.replace("/", ".")
        if override == NO_PRESET:
            continue
        if key == "experiment":
            raise UserError(
                "experiment= and ckpt_path= exclude each other: the checkpoint contains its config"
            )
        if key == "data.path" and cfg.data.name != stored["config"]["data"]["name"]:
            continue
        if override.startswith("~"):
            parent, _, name = key.rpartition(".")
            (OmegaConf.select(merged, parent) or {}).pop(name, None)
        else:
            sections = [key]
            if key == "data" and choices[group] == stored["choices"].get(group):
                sections = [name for name in _PLACES if OmegaConf.select(cfg, name) is not None]
            if group in choices:  # an option may set more than the section of its group
                sections += keys_of_option(group, choices[group], folders)
            for name in sections:
                value = OmegaConf.select(cfg, name)
                OmegaConf.update(merged, name, value, merge=False, force_add=True)
        if group in choices:
            merged_choices[group] = choices[group]
    for key in _OWN:
        OmegaConf.update(merged, key, cfg[key], merge=False, force_add=True)
    return merged, merged_choices


def _check_changes(stored: Mapping[str, Any], config: Mapping[str, Any], path: str) -> None:
    """Raise if the weights of the checkpoint depend on a changed value."""
    changed = [
        line
        for key in config
        if key not in _CHANGEABLE
        for line in differences({key: stored.get(key)}, {key: config[key]})
        # A file may have moved; its content is compared later.
        if line.split(":")[0].split(".")[-1] not in DATA_FILES
    ]
    trained, now = (c["trainer"].get("limit_val_batches") for c in (stored, config))
    if trained != now:  # the best value so far would be compared with one of other pairs
        changed.append(f"trainer.limit_val_batches: {trained}, {now}")
    if changed:
        raise UserError(
            f"the checkpoint '{path}' was trained with other options "
            f"(checkpoint, now): {'; '.join(changed[:8])}; "
            "remove them to resume, or use init_from= to start from its weights"
        )


def _check_limits(
    stored: Mapping[str, Any],
    config: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    path: str,
) -> None:
    """Raise if training is complete."""
    limits = {
        "epochs": checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"],
        "steps": checkpoint["global_step"],
    }
    for unit, done in limits.items():
        limit = config["trainer"].get(f"max_{unit}") or -1
        if 0 <= limit <= done:
            is_stored = limit == stored["trainer"].get(f"max_{unit}")
            origin = " (settings that are not typed are those of the checkpoint)"
            raise UserError(
                f"the checkpoint '{path}' has completed {done} "
                f"{unit.removesuffix('s') if done == 1 else unit}, and "
                f"trainer.max_{unit}={limit} ends the training there{origin if is_stored else ''}: "
                f"type a higher number, for example trainer.max_{unit}={2 * done}"
            )
    time = TrainingTime(max_time := config["trainer"].get("max_time"))
    time.load_state_dict(checkpoint["callbacks"].get("TrainingTime", {}))
    if max_time is not None and (time.time_remaining() or 0.0) <= 0:
        raise UserError(
            f"the checkpoint '{path}' has trained for {duration(time.time_elapsed())}, and "
            f"trainer.max_time={typed(max_time)} ends the training there: type a longer time, or "
            "'~trainer.max_time'"
        )


def _check_callbacks(config: DictConfig, option: str) -> None:
    """Raise if a typed value is alone in the section of a callback that the run does not have."""
    for name, section in (config.get("callbacks") or {}).items():
        if section is not None and "_target_" not in section:
            key = next(iter(section))
            raise UserError(
                f"callbacks.{name}.{key}={section[key]}: the run of the checkpoint has "
                f"callbacks.{name}=null; remove it, or add callbacks={option} to resume with "
                "these callbacks"
            )


def _check_whole(path: str, checkpoint: Mapping[str, Any]) -> None:
    """Raise if a checkpoint holds weights alone."""
    if is_whole(checkpoint):
        return
    last = Path(path).with_name("last.ckpt")
    remedy = (
        f"resume from '{last}'"
        if last.exists()
        else "there is no last.ckpt beside it (checkpoints.keep=weights keeps none)"
    )
    raise UserError(
        f"ckpt_path={path}: this checkpoint holds weights without the state of the optimizer; "
        f"{remedy}, or start a new run from its weights with init_from={path}"
    )


def _check_optimizer(
    stored: dict[str, Any], config: dict[str, Any], checkpoint: dict[str, Any]
) -> None:
    """Raise if another optimizer could not continue with the state of the checkpoint."""
    if config == stored:
        return
    weights = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))]
    named = [(f"weight{w.ndim}", w) for w in weights]
    optimizer = constructed("optimizer", torch.optim.Optimizer, make(config), named)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step(lambda: torch.zeros(()))
    saved = checkpoint["optimizer_states"][0]["state"]
    old, new = ({name for part in s.values() for name in part} for s in (saved, optimizer.state))
    if config["_target_"] != stored["_target_"] or old != new:
        changed = "; ".join(differences({"optimizer": stored}, {"optimizer": config}))
        raise UserError(
            "the state of the checkpoint's optimizer does not fit another optimizer "
            f"(checkpoint, now): {changed}; remove the change to resume, or use init_from= to "
            "start from its weights"
        )


def find_checkpoint(
    run_folder: Path, named: dict[str, Any] | None, ckpt_path: str | None
) -> tuple[dict[str, Any] | None, str | None]:
    """Find the checkpoint to resume from: that of the run's own folder, else the named one.

    The own folder has checkpoints of an earlier process; the named one is that of `ckpt_path=`.

    Returns:
        The checkpoint and its file; None twice for a new run.
    """
    folder = run_folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    if is_rank_zero():  # another rank would delete the files that rank 0 is writing
        for place in (run_folder, run_folder / "vocab", folder):
            remove_leftovers(place)
    started = named is None or (folder / "last.ckpt").exists()  # else best.ckpt is the copy below
    newest = newest_valid(folder, whole=True) if started else None
    if started and is_rank_zero():
        _warn_of_damaged(folder, newest)
        _rename_damaged_best(folder / "best.ckpt")
    if newest is not None:
        return load_checkpoint(newest), str(newest)
    if named is None or ckpt_path is None:
        return None, None
    _copy_best(Path(ckpt_path).absolute(), named, run_folder)
    return named, ckpt_path


def _warn_of_damaged(folder: Path, used: Path | None) -> None:
    """Warn of damaged checkpoints that are newer than the one that a run resumes from."""
    since = 0.0 if used is None else used.stat().st_mtime
    newer = (file for file in sorted(folder.glob("*.ckpt")) if file.stat().st_mtime > since)
    if damaged := [str(file) for file in newer if not is_valid(file)]:
        instead = "the run starts again" if used is None else f"the run resumes from {used.name}"
        log.warning(f"warning: {', '.join(damaged)} cannot be read, so {instead}")


def _rename_damaged_best(best: Path) -> None:
    """Rename a damaged best checkpoint, which would be tested unless a later epoch is better."""
    if best.exists() and not is_valid(best):
        best.rename(renamed := best.with_suffix(".damaged"))
        log.warning(
            f"warning: {best} was damaged and is {renamed.name} now; the best epoch is one of "
            "those that follow, else the last one"
        )


def _copy_best(path: Path, checkpoint: Mapping[str, Any], run_folder: Path) -> None:
    """Copy the best checkpoint so far with its metrics: the resumed run may not improve on it.

    A `best.ckpt` that is later than the checkpoint to resume from is the result of other settings.
    """
    best, state = path.with_name("best.ckpt"), checkpoint["callbacks"][BestCheckpoint.__qualname__]
    if not is_valid(best) or (stored := load_checkpoint(best))["epoch"] != state["epoch"]:
        return
    write_atomically(run_folder / "checkpoints" / "best.ckpt", best.read_bytes())
    metrics = path.parent.parent / "metrics.csv"
    if path.parent.name == "checkpoints" and metrics.exists():
        content = metrics.read_bytes()
    else:  # a checkpoint without the folder of its run
        step, epoch = stored["global_step"] - 1, state["epoch"] + 1
        row = {"step": step, "epoch": epoch, "val/nll": repr(state["value"])}
        content = csv_text(row, [row]).encode()
    write_atomically(run_folder / "metrics.csv", content)


def check_same_data(checkpoint: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise if a checkpoint was trained on other data.

    Raises:
        UserError: If the splits or a vocabulary differ.
    """
    now = {
        "split_hash": prepared.split_hash,
        "src_vocab": prepared.src_vocab.to_dict(),
        "tgt_vocab": prepared.tgt_vocab.to_dict(),
    }
    if any(checkpoint["en2py"][key] != value for key, value in now.items()):
        raise UserError(
            "the checkpoint was trained on other data: the file, the cleaning rules, or the "
            "version of Python or of a tokenizer changed; use fresh=true to train anew, or "
            "init_from= to start from its weights"
        )
