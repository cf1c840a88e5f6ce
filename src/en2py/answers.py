"""Programs for prompts: `evaluate.py prompt=...` and `prompts=FILE`."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from en2py.data.text_files import read_text
from en2py.errors import UserError
from en2py.module import Seq2SeqModule


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
    """Return the programs for prompts; what the model cannot read is told in one sentence."""
    room = module.model.src_embedding.positions.shape[0]
    for description in descriptions:
        tokens = module.src_tokenizer.tokenize(description)
        if not tokens:
            raise UserError("the prompt is empty: say in English what the program should do")
        if len(tokens) + 1 > room:
            raise UserError(
                f"the prompt has {len(tokens)} tokens, the model reads at most {room - 1}: "
                f"shorten it (it starts {description[:40]!r})"
            )
        known = [token for token in tokens if token in module.src_vocab]
        if not known:
            raise UserError(
                f"the model knows no word of the prompt {description[:60]!r}: it was trained on "
                f"{len(module.src_vocab):,} English words"
            )
        if len(known) < len(tokens):
            unknown = ", ".join(dict.fromkeys(t for t in tokens if t not in module.src_vocab))
            print(f"words that the model does not know: {unknown}", file=sys.stderr)
    return [[module.text(h) for h in found] for found in module.candidates(descriptions)]
