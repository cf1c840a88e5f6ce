"""Generate programs for descriptions: `generate.py`, and `prompt=`, `prompts=` of evaluate.py."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from en2py.cli.checkpoint_runs import config_changes, evaluation_config, find_checkpoints
from en2py.console import duration
from en2py.data.text_files import read_text
from en2py.errors import Fault, UserError
from en2py.training.build import module_of
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule

_SHOWN = 200  # characters of a line that has no program
_EVERY_S = 20.0  # between two lines of progress on stderr
_CUT = "the program is cut at the longest length that the model can write"


def generate(cfg: DictConfig, lines: str | None = None) -> None:
    """Print the program for `prompt`, or a JSON record for each line of the file `prompts`.

    A line without a program has a record with `error` instead of `code`; that of a program that the
    length limit cuts has `cut`. Of several checkpoints
    each generates a program, below a comment with its run, or records that name it.

    Args:
        cfg: The config of evaluate.py, with `ckpt_path`.
        lines: Descriptions, one a line, instead of those of the config.

    Raises:
        UserError: If the checkpoint cannot be read, or the model cannot read `prompt`.
        Fault: After all programs, if a line, or one of several checkpoints, has no program.
    """
    paths = find_checkpoints(cfg.ckpt_path)
    if lines is None and cfg.prompt is not None:
        _print_programs(paths, cfg, " ".join(cfg.prompt.split()))
        return
    text = read_text(cfg.prompts) if lines is None else lines
    records = []
    for path in paths:
        named = {"checkpoint": str(path)} if len(paths) > 1 else {}
        for record in _records(_module(path, cfg), text):
            records.append({**named, **record})
            print(json.dumps(records[-1]))
    if failed := [str(record["line"]) for record in records if "error" in record]:
        raise Fault(
            f"{len(failed)} of {len(records)} lines have no program, see their records: line "
            + ", ".join(failed[:10])
            + (", ..." if len(failed) > 10 else "")
        )


def _module(path: Path, cfg: DictConfig) -> Seq2SeqModule:
    checkpoint = load_checkpoint(path)
    metadata = checkpoint["en2py"]
    metadata["config"] = evaluation_config(metadata["config"], config_changes(cfg))
    return module_of(checkpoint)


def _print_programs(paths: Sequence[Path], cfg: DictConfig, prompt: str) -> None:
    """Print the program of each checkpoint."""
    failed = []
    for path in paths:
        module = _module(path, cfg)
        if len(paths) > 1:
            print(f"# {module.metadata['run']} ({path})")
        try:
            _warn_unknown(module.unknown_words(prompt, "the prompt"))
        except UserError as error:
            if len(paths) == 1:
                raise
            print(f"# {error}\n")
            failed.append(str(path))
            continue
        hypothesis = module.candidates([prompt])[0][0]
        print(module.text(hypothesis))
        if not hypothesis.finished:
            print(f"{_CUT}: {len(hypothesis.ids)} tokens", file=sys.stderr)
        if len(paths) > 1:
            print()
    if failed:
        raise Fault(f"{len(failed)} of {len(paths)} checkpoints have no program: {failed[0]}")


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
    started = printed = time.monotonic()

    def show(done: int) -> None:
        nonlocal printed
        if (now := time.monotonic()) - printed >= _EVERY_S:
            left = duration((now - started) * (len(valid) / done - 1))
            print(f"{done:,} of {len(valid):,} programs, {left} left", file=sys.stderr)
            printed = now

    found = module.candidates([record["description"] for record in valid], on_progress=show)
    for record, hypotheses in zip(valid, found, strict=True):
        programs = [module.text(hypothesis) for hypothesis in hypotheses]
        record["code"] = programs[0]
        if not hypotheses[0].finished:
            record["cut"] = True
        if len(programs) > 1:
            record["candidates"] = programs
    return records


def _warn_unknown(words: Sequence[str], where: str = "") -> None:
    if words:
        print(f"{where}words that the model does not know: {', '.join(words)}", file=sys.stderr)
