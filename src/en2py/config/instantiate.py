"""Which code a config may call: a checkpoint brings a config that a stranger may have written."""

from collections.abc import Iterator, Mapping
from typing import Any

from en2py.config.signatures import is_public_definition
from en2py.errors import UserError

# A `_target_` is code that will run, so it lies in a room whose parts only build or compute.
ALLOWED = (
    "en2py.training.callbacks.",
    "en2py.data.augmentation.",
    "en2py.data.cleaning.",
    "en2py.data.sources.",
    "en2py.data.splits.",
    "en2py.data.tokenizers.",
    "en2py.decoding.beam_search.",
    "en2py.decoding.greedy.",
    "en2py.decoding.sampling.",
    "en2py.models.embeddings.",
    "en2py.models.vector_files.",
    "en2py.evaluation.baselines.",
    "en2py.training.losses.",
    "en2py.models.transformer.",
    "en2py.training.schedulers.",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.plugins.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
    "torch.optim.",
)


def check_targets(config: Mapping[str, Any]) -> None:
    """Refuse a config that would call something other than this project's parts.

    Args:
        config: Plain containers; a checkpoint's stored config as well as a new one.

    Raises:
        UserError: If a `_target_` lies outside of the allowed packages.
    """
    for key, target in _targets(config):
        if not (isinstance(target, str) and target.startswith(ALLOWED)):
            allowed = ", ".join(f"{package}*" for package in ALLOWED)
            raise UserError(f"{key}={target}: only {allowed} may run")
        try:
            ours = is_public_definition(target)
        except UserError as error:
            raise UserError(f"{key}={target}: {error}") from None
        if not ours:
            raise UserError(f"{key}={target}: this name comes from elsewhere, and may not run")


def _targets(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each `_target_` of nested sections and lists, with its dotted key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            at = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                yield at, inner
            else:
                yield from _targets(inner, at)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _targets(inner, key)
