"""Generate programs for descriptions: `generate.py`, and `prompt=`, `prompts=` of evaluate.py."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from en2py.cli.checkpoint_runs import config_changes, evaluation_config, find_checkpoint
from en2py.data.text_files import read_text
from en2py.errors import Fault, UserError
from en2py.training.build import module_of
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule

_SHOWN = 200  # characters of a line that has no program


def generate(cfg: DictConfig, lines: str | None = None) -> None:
    """Print the program for `prompt`, or a JSON record for each line of the file `prompts`.

    A line without a program has a record with `error` instead of `code`.

    Args:
        cfg: The config of evaluate.py, with `ckpt_path`.
        lines: Descriptions, one a line, instead of those of the config.

    Raises:
        UserError: If the checkpoint cannot be read, or the model cannot read `prompt`.
        Fault: After all records, if a line has no program.
    """
    checkpoint = load_checkpoint(find_checkpoint(cfg.ckpt_path, "generation"))
    metadata = checkpoint["en2py"]
    metadata["config"] = evaluation_config(metadata["config"], config_changes(cfg))
    module = module_of(checkpoint)
    if lines is None and cfg.prompt is not None:
        prompt = " ".join(cfg.prompt.split())
        _warn_unknown(module.unknown_words(prompt, "the prompt"))
        print(module.text(module.candidates([prompt])[0][0]))
        return
    text = read_text(cfg.prompts) if lines is None else lines
    records = _records(module, text)
    for record in records:
        print(json.dumps(record))
    if failed := [str(record["line"]) for record in records if "error" in record]:
        raise Fault(
            f"{len(failed)} of {len(records)} lines have no program, see their records: line "
            + ", ".join(failed[:10])
            + (", ..." if len(failed) > 10 else "")
        )


def _records(module: Seq2SeqModule, text: str) -> list[dict[str, Any]]:
    """Return a record per line of a text, with the program or the error."""
    records: list[dict[str, Any]] = []
    # Not `splitlines`, which also splits at form feeds, U+2028 and others inside a line.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        records.append({"line": number, "description": " ".join(line.split())})
    for record in records:
        try:
            unknown = module.unknown_words(record["description"], "the prompt")
            _warn_unknown(unknown, f"line {record['line']}: ")
        except UserError as error:
            record["error"] = str(error)
            record["description"] = record["description"][:_SHOWN]
    valid = [record for record in records if "error" not in record]
    found = module.candidates([record["description"] for record in valid])
    for record, hypotheses in zip(valid, found, strict=True):
        programs = [module.text(hypothesis) for hypothesis in hypotheses]
        record["code"] = programs[0]
        if len(programs) > 1:
            record["candidates"] = programs
    return records


def _warn_unknown(words: Sequence[str], where: str = "") -> None:
    if words:
        print(f"{where}words that the model does not know: {', '.join(words)}", file=sys.stderr)
