"""Generate programs for descriptions: `generate.py`, and `prompt=`, `prompts=` of evaluate.py."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.cli.checkpoint_runs import find_checkpoints
from en2py.cli.evaluation_config import config_changes, evaluation_config
from en2py.cli.votes import Pool
from en2py.console import duration
from en2py.data.text_files import read_text
from en2py.errors import Fault, UserError
from en2py.training.build import module_of
from en2py.training.checkpoints import load_checkpoint, locate_data
from en2py.training.fitting import check_devices
from en2py.training.module import Seq2SeqModule
from en2py.training.out_of_memory import EVALUATION_REMEDIES, report_out_of_memory
from en2py.training.run_data import prepare_data

Rank = Callable[[Sequence[str], list[list[str]]], list[list[str]]]

_SHOWN = 200  # characters of a line that has no program
_EVERY_S = 20.0  # between two lines of progress on stderr
_CUT = "the program is cut at the length limit"


@report_out_of_memory(EVALUATION_REMEDIES)
def generate(cfg: DictConfig, lines: str | None = None) -> None:
    """Print the program for `prompt`, or a JSON record for each line of the file `prompts`.

    A line without a program has a record with `error` instead of `code`; that of a program that the
    length limit cuts has `cut`. Of several checkpoints
    each generates a program, below a comment with its run, or records that name it.

    Raises:
        UserError: If the checkpoint cannot be read, or the model cannot read `prompt`.
        Fault: After all programs, if a line, or one of several checkpoints, has no program; if
            memory runs out.
    """
    paths = find_checkpoints(cfg.ckpt_path)
    if lines is None and cfg.prompt is not None:
        _print_programs(paths, cfg, " ".join(cfg.prompt.split()))
        return
    text = read_text(cfg.prompts) if lines is None else lines
    records = []
    for path in paths:
        named = {"checkpoint": str(path)} if len(paths) > 1 else {}
        for record in _records(*_open(path, cfg), text):
            records.append({**named, **record})
            print(json.dumps(records[-1]))
    if failed := [str(record["line"]) for record in records if "error" in record]:
        raise Fault(
            f"{len(failed)} of {len(records)} lines have no program, see their records: line "
            + ", ".join(failed[:10])
            + (", ..." if len(failed) > 10 else "")
        )


def _open(path: Path, cfg: DictConfig) -> tuple[Seq2SeqModule, Rank | None]:
    """Return the module of a checkpoint, and what ranks its programs if its search does not."""
    check_devices(cfg.trainer)
    checkpoint = load_checkpoint(path)
    metadata = checkpoint["en2py"]
    max_pairs = metadata["config"]["batch"]["max_pairs"]  # that of an evaluation is another
    config = metadata["config"] = evaluation_config(metadata["config"], config_changes(cfg))
    if "n_retrieved" not in config["decoding"]:
        return module_of(checkpoint, accelerator=cfg.trainer.accelerator), None
    config["data"] = locate_data(config, metadata.get("files", {}), path)
    with redirect_stdout(sys.stderr):
        prepared = prepare_data(config)
    module = module_of(checkpoint, prepared, cfg.trainer.accelerator)
    sandbox: Any = OmegaConf.to_container(cfg.sandbox, resolve=True)
    pool = Pool.of(path, module, prepared, max_pairs, sandbox)
    weights = pool and pool.stored_weights()
    if not pool or not weights:
        raise UserError(
            f"decoding=votes: {path.parent} has no weights for these settings; an evaluation of "
            "the validation split (evaluate.py, part=val) with the same settings learns them"
        )
    return module, partial(pool.ranker.rank, weights=weights)


def _programs(
    module: Seq2SeqModule,
    rank: Rank | None,
    descriptions: Sequence[str],
    on_progress: Callable[[int], None] | None = None,
) -> list[tuple[list[str], int]]:
    """Return programs per description, best first, and of a best one that is cut its tokens."""
    found = module.candidates(descriptions, on_progress=on_progress)
    written = [[module.text(hypothesis) for hypothesis in hypotheses] for hypotheses in found]
    with redirect_stdout(sys.stderr):  # progress of the sandbox
        ranked = rank([module.clean(text) for text in descriptions], written) if rank else written
    results = []
    for programs, texts, hypotheses in zip(ranked, written, found, strict=True):
        cut = {
            text: len(hypothesis.ids)
            for text, hypothesis in zip(texts, hypotheses, strict=True)
            if not hypothesis.finished
        }
        results.append((programs, cut.get(programs[0], 0)))
    return results


def _print_programs(paths: Sequence[Path], cfg: DictConfig, prompt: str) -> None:
    """Print the program of each checkpoint."""
    failed = []
    for path in paths:
        module, rank = _open(path, cfg)
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
        [(programs, n_tokens)] = _programs(module, rank, [prompt])
        print(programs[0])
        if n_tokens:
            print(f"{_CUT}: {n_tokens} tokens", file=sys.stderr)
        if len(paths) > 1:
            print()
    if failed:
        raise Fault(f"{len(failed)} of {len(paths)} checkpoints have no program: {failed[0]}")


def _records(module: Seq2SeqModule, rank: Rank | None, text: str) -> list[dict[str, Any]]:
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

    found = _programs(module, rank, [record["description"] for record in valid], show)
    for record, (programs, n_tokens) in zip(valid, found, strict=True):
        record["code"] = programs[0]
        if n_tokens:
            record["cut"] = True
        if len(programs) > 1:
            record["candidates"] = programs
    return records


def _warn_unknown(words: Sequence[str], where: str = "") -> None:
    if words:
        print(f"{where}words that the model does not know: {', '.join(words)}", file=sys.stderr)
