"""Generate programs for descriptions: `generate.py`, and `prompt=`, `prompts=` of evaluate.py."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from en2py.cli.checkpoint_runs import config_changes, evaluation_config
from en2py.data.text_files import read_text
from en2py.errors import UserError
from en2py.training.build import module_of
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule


def generate(cfg: DictConfig, lines: str | None = None) -> None:
    """Print the program for `prompt`, or a JSON line for each line of the file `prompts`.

    Args:
        cfg: The config of evaluate.py, with `ckpt_path`.
        lines: Descriptions, one a line, instead of those of the config.

    Raises:
        UserError: If the checkpoint cannot be read, or the model cannot read a description.
    """
    checkpoint = load_checkpoint(cfg.ckpt_path)
    metadata = checkpoint["en2py"]
    metadata["config"] = evaluation_config(metadata["config"], config_changes(cfg))
    module = module_of(checkpoint)
    if lines is None and cfg.prompt is not None:
        print(_programs(module, [cfg.prompt])[0][0])
        return
    text = read_text(cfg.prompts) if lines is None else lines
    descriptions = [line for line in map(str.strip, text.splitlines()) if line]
    for line, programs in zip(descriptions, _programs(module, descriptions), strict=True):
        record: dict[str, Any] = {"description": line, "code": programs[0]}
        if len(programs) > 1:
            record["candidates"] = programs
        print(json.dumps(record))


def _programs(module: Seq2SeqModule, descriptions: Sequence[str]) -> list[list[str]]:
    for description in descriptions:
        if unknown := unknown_words(module, description):
            print(f"words that the model does not know: {', '.join(unknown)}", file=sys.stderr)
    return [
        [module.text(hypothesis) for hypothesis in hypotheses]
        for hypotheses in module.candidates(descriptions)
    ]


def unknown_words(module: Seq2SeqModule, description: str) -> list[str]:
    """Return the words of a description that are not in the vocabulary.

    Raises:
        UserError: If the description is empty, too long, or has no known word.
    """
    tokens = module.tokenize_description(description, "the prompt")
    unknown = [token for token in tokens if token not in module.src_vocab]
    if len(unknown) == len(tokens):
        raise UserError(
            f"the model knows no word of the prompt {description[:60]!r}: it was trained on "
            f"{len(module.src_vocab):,} English words"
        )
    return list(dict.fromkeys(unknown))
