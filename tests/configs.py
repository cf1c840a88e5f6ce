"""Compose and validate a config as the command line does."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from en2py.config.composition import compose_config, leaves
from en2py.config.validation import validate


def checked(config_name: str, overrides: list[str], existing: Path) -> DictConfig:
    """Compose a config, add missing paths, and validate it."""
    cfg = compose_config(config_name, overrides)
    HydraConfig.instance().set_config(cfg)
    cfg = cfg.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    written = OmegaConf.to_container(cfg, resolve=False)
    missing = [key for key, value in leaves(written) if value == "???" and key.endswith(".path")]
    if missing:
        is_corpus = str(cfg.data.source._target_).endswith("read_corpus")
        place = existing.parent if is_corpus else existing  # it reads folders
        return checked(config_name, [*overrides, *(f"{k}='{place}'" for k in missing)], existing)
    validate(cfg, config_name)
    return cfg
