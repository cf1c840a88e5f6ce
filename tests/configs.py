"""Compose and validate a config as the command line does."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from en2py.config.composition import compose_config, leaves
from en2py.config.validation import validate
from en2py.errors import UserError

COMPOSED: dict[tuple[str, ...], DictConfig] = {}


def checked(config_name: str, overrides: list[str], existing: Path) -> DictConfig:
    """Compose a config, add missing paths, and validate it."""
    cfg = compose_config(config_name, overrides)
    HydraConfig.instance().set_config(cfg)
    cfg = cfg.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    written = OmegaConf.to_container(cfg, resolve=False)
    missing = [
        key
        for key, value in leaves(written)
        if value == "???" and (key.endswith(".path") or key == "pretrained")
    ]
    if missing:
        is_corpus = str(cfg.data.source._target_).endswith("read_corpus")
        is_folder = is_corpus or "pretrained" in missing
        place = existing.parent if is_folder else existing
        if "pretrained" in missing:
            for name in ("checkpoints/best.ckpt", "vocab/pieces.json"):
                (place / name).parent.mkdir(exist_ok=True)
                (place / name).write_text("there")
        return checked(config_name, [*overrides, *(f"{k}='{place}'" for k in missing)], existing)
    validate(cfg, config_name)
    return cfg


def composed(config_name: str, *choices: str) -> DictConfig:
    """Compose a config once and return a copy that a test may change."""
    key = (config_name, *choices)
    if key not in COMPOSED:
        COMPOSED[key] = compose_config(config_name, choices)
    cfg = COMPOSED[key].copy()
    HydraConfig.instance().set_config(cfg)
    cfg = cfg.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def refused(cfg: DictConfig, config_name: str = "train", **values: Any) -> str:
    for key, value in values.items():
        OmegaConf.update(cfg, key, value, force_add=True)
    with pytest.raises(UserError) as caught:
        validate(cfg, config_name)
    return str(caught.value)
