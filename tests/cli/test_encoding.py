"""Terminals and file names of other encodings: no result is lost, files are UTF-8."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from en2py import console
from en2py.cli import evaluate
from en2py.errors import UserError
from en2py.training.checkpoints import load_checkpoint
from en2py.training.run_folder import SWEEP_ID
from training_runs import Go, folder_of

NOT_UTF8 = os.fsdecode(b"n\xe4m")  # Latin-1


def ascii_stdout(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Replace stdout by an ASCII stream, and return what it writes to."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    return written


@pytest.mark.slow
def test_a_narrow_stdout_gets_escapes_and_files_are_exact(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ascii_stdout(monkeypatch)
    data = tmp_path / "pairs.jsonl"
    data.write_text(data.read_text().replace("adds", "größe"))
    assert go("trainer.max_epochs=1") == 0
    run = folder_of(tmp_path)
    best = f"ckpt_path={run / 'checkpoints' / 'best.ckpt'}"
    assert go(best, "baseline=constant", program="evaluate") == 0
    assert b"\\xf6\\xdfe" in written.getvalue()
    folder = run / "evaluate-test-baseline=constant"
    assert json.loads((folder / "results.json").read_bytes())["samples"]
    assert "größe" in (folder / "samples.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_failed_print_loses_no_result(
    whole: tuple[Go, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(rows: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(evaluate, "print_samples", fail)
    monkeypatch.setattr("os.dup2", lambda *files: None)  # stdout of pytest stays open
    go, run = whole
    best = f"ckpt_path={run / 'checkpoints' / 'best.ckpt'}"
    code = go(best, "baseline=constant", f"folder={tmp_path}/scores", program="evaluate")
    assert code == 141
    written = {path.name for path in (tmp_path / "scores").iterdir()}
    assert {"results.json", "report.html", "report.md", "predictions.jsonl"} <= written


def test_log_lines_on_a_narrow_stdout_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = ascii_stdout(monkeypatch)
    console.configure_logging()
    console.console.print("größe 😀")
    assert written.getvalue() == b"gr\\xf6\\xdfe \\U0001f600\n"


@pytest.mark.parametrize("key", ["data.path", "output", "study"])
def test_a_name_that_is_not_utf8_is_refused_in_one_sentence(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, key: str
) -> None:
    monkeypatch.delenv(SWEEP_ID, raising=False)  # left by the sweep of another test
    path = tmp_path / NOT_UTF8
    path.write_bytes((tmp_path / "pairs.jsonl").read_bytes())
    assert go(f"{key}={path}") == 2
    message = capsys.readouterr().err
    assert message.startswith(f"{key}=") and "n\\udce4m' is no UTF-8 text; rename it" in message
    assert message.count("\n") == 1


@pytest.mark.slow
def test_a_checkpoint_in_a_folder_that_is_not_utf8_is_loaded(
    whole: tuple[Go, Path], tmp_path: Path
) -> None:
    best = whole[1] / "checkpoints" / "best.ckpt"
    copy = tmp_path / NOT_UTF8
    copy.write_bytes(best.read_bytes())
    assert load_checkpoint(copy, mmap=True).keys() == load_checkpoint(best, mmap=True).keys()


def test_stdin_is_utf8_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from en2py.cli.programs import read_stdin

    text = "adds größe\n"
    stream = io.TextIOWrapper(io.BytesIO(text.encode("utf-8-sig")), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stream)
    assert read_stdin() == text
    stream = io.TextIOWrapper(io.BytesIO(text.encode("latin-1")), encoding="latin-1")
    monkeypatch.setattr(sys, "stdin", stream)
    with pytest.raises(UserError, match="byte 0xf6 is not UTF-8"):
        read_stdin()
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    with pytest.raises(UserError, match="stdin is empty: it needs one description a line"):
        read_stdin()
