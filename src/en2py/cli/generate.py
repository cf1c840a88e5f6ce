"""Programs for prompts: `evaluate.py prompt=...`, `prompts=FILE`; what is unreadable is told."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from en2py.data.text_files import read_text
from en2py.errors import UserError
from en2py.training.module import Seq2SeqModule


def answer(cfg: DictConfig, module: Seq2SeqModule) -> None:
    """Print the code for `prompt`, or a JSON line for each line of the file `prompts`.

    Raises:
        UserError: If the model cannot read one of them.
    """
    if cfg.prompt is not None:
        print(_programs(module, [cfg.prompt])[0][0])
        return
    lines = [line.strip() for line in read_text(cfg.prompts).splitlines()]
    lines = [line for line in lines if line]
    for line, found in zip(lines, _programs(module, lines), strict=True):
        record: dict[str, Any] = {"description": line, "code": found[0]}
        if len(found) > 1:
            record["candidates"] = found
        print(json.dumps(record))


def _programs(module: Seq2SeqModule, descriptions: Sequence[str]) -> list[list[str]]:
    for description in descriptions:
        if unknown := unknown_words(module, description):
            print(f"words that the model does not know: {', '.join(unknown)}", file=sys.stderr)
    return [[module.text(h) for h in found] for found in module.candidates(descriptions)]


def unknown_words(module: Seq2SeqModule, description: str) -> list[str]:
    """Return the words of a description that a model does not know.

    Raises:
        UserError: If the description is empty, too long, or has no word that the model knows.
    """
    room = module.model.src_embedding.max_len
    tokens = module.src_tokenizer.tokenize(description)
    if not tokens:
        raise UserError("the prompt is empty: say in English what the program should do")
    if len(tokens) + 1 > room:
        raise UserError(
            f"the prompt has {len(tokens)} tokens, the model reads at most {room - 1}: "
            f"shorten it (it starts {description[:40]!r})"
        )
    unknown = [token for token in tokens if token not in module.src_vocab]
    if len(unknown) == len(tokens):
        raise UserError(
            f"the model knows no word of the prompt {description[:60]!r}: it was trained on "
            f"{len(module.src_vocab):,} English words"
        )
    return list(dict.fromkeys(unknown))
