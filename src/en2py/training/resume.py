"""Going on from a checkpoint: which one, under which config, and whether it may be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.config.composition import escape
from en2py.config.run_name import differences
from en2py.data.files import remove_leftovers, write_atomically
from en2py.data.prepare import Prepared
from en2py.errors import UserError
from en2py.training.checkpoints import load_checkpoint, newest_valid
from en2py.training.distributed import is_rank_zero

# A checkpoint is gone on with under these as they were; anything else is `init_from`.
_PROTECTED = ("data", "cleaning", "split", "augmentation", "tokenizer", "vocab", "model",
              "embeddings", "loss", "seed")  # fmt: skip
_PLACES = ("path", "root")  # a file may have moved; that it is the same one is checked later
# What a person says of this run, not of the one that wrote the checkpoint.
_OWN = ("ckpt_path", "init_from", "study", "fresh", "output", "cache", "processes", "logger",
        "faults")  # fmt: skip


def resumed_config(
    cfg: DictConfig, overrides: list[str], choices: dict[str, str], checkpoint: dict[str, Any]
) -> tuple[DictConfig, dict[str, str]]:
    """Return the checkpoint's own config with what was typed on top of it.

    Raises:
        UserError: If what was typed changes what the weights depend on.
    """
    stored = checkpoint["en2py"]
    merged = OmegaConf.create(escape(stored["config"]))
    taken = dict(stored["choices"])
    for override in overrides:
        group = override.lstrip("+~").split("=")[0].split("@")[0]
        key = group.replace("/", ".")
        if override == "~experiment":
            continue  # added by `without_preset`
        if key == "experiment":
            raise UserError(
                "experiment= and ckpt_path= exclude each other: the checkpoint knows its own"
            )
        if key == "data.path" and cfg.data.name != stored["config"]["data"]["name"]:
            continue
        OmegaConf.update(merged, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
        if group in choices:
            taken[group] = choices[group]
    for key in _OWN:
        OmegaConf.update(merged, key, cfg[key], merge=False, force_add=True)
    config = OmegaConf.to_container(merged, resolve=True)
    assert isinstance(config, dict)
    found = [
        line
        for key in _PROTECTED
        for line in differences({key: stored["config"][key]}, {key: config[key]})
        if line.split(":")[0].split(".")[-1] not in _PLACES
    ]
    if found:
        raise UserError(
            f"the checkpoint '{cfg.ckpt_path}' was trained with other choices "
            f"(checkpoint, now): {'; '.join(found[:8])}; "
            "leave them out to go on from it, or take init_from= to start from its weights"
        )
    done = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if 0 <= config["trainer"]["max_epochs"] <= done:
        raise UserError(
            f"the checkpoint '{cfg.ckpt_path}' has done all its {done} epochs: "
            f"say how far to go, for example trainer.max_epochs={2 * done}"
        )
    return merged, taken


def find_checkpoint(
    run_folder: Path, start: dict[str, Any] | None, ckpt_path: str | None
) -> tuple[dict[str, Any] | None, str | None]:
    """Return where to go on: in the run's own folder, else from the checkpoint that was named.

    Args:
        run_folder: What an earlier process left is found here.
        start: The checkpoint that the person named, loaded.
        ckpt_path: Its file.

    Returns:
        The checkpoint and its file; None twice for a run that starts anew.
    """
    folder = run_folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    if is_rank_zero():  # another rank's leftovers would be what the first one is writing
        for place in (run_folder, run_folder / "vocab", folder):
            remove_leftovers(place)
    begun = start is None or (folder / "last.ckpt").exists()  # else best.ckpt is the copy below
    own = newest_valid(folder) if begun else None
    if own is not None:
        return load_checkpoint(own), str(own)
    if start is None or ckpt_path is None:
        return None, None
    best = Path(ckpt_path).parent / "best.ckpt"
    if best.exists():  # it may stay the best
        write_atomically(folder / "best.ckpt", best.read_bytes())
    return start, ckpt_path


def check_same_data(checkpoint: Mapping[str, Any], prepared: Prepared) -> None:
    """Refuse to go on with a checkpoint of other data."""
    stored = checkpoint["en2py"]
    same = stored["split_hash"] == prepared.split_hash
    if not same or stored["tgt_vocab"] != prepared.tgt_vocab.to_dict():
        raise UserError(
            "the checkpoint was trained on other data: the file, the cleaning rules or this "
            "version of Python changed; take init_from= to start from its weights"
        )
