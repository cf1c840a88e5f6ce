"""Log records on the terminal, and the records of libraries in a file."""

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from en2py import console
from en2py.console import log_file


@pytest.mark.parametrize("name", ["pytorch_lightning", "lightning_fabric"])
def test_loggers_with_handlers_write_to_the_file_alone(tmp_path: Path, name: str) -> None:
    terminal, path = io.StringIO(), tmp_path / "new" / "run.log"
    handler, logger = logging.StreamHandler(terminal), logging.getLogger(name)
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)  # as at Lightning's import; other tests raise it
    try:
        with log_file(path):
            logger.warning("a warning")
            logging.getLogger(f"{name}.callbacks").info("so it goes")
            logger.info("`weights_only` was not set, defaulting to `False`.")
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, 1)
        assert terminal.getvalue() == ""
        text = path.read_text()
        assert "a warning" in text and "so it goes" in text and "LeafSpec" in text
        assert "weights_only" not in text
        assert logger.handlers == [handler] and not logger.propagate
        logger.warning("afterwards")
        assert terminal.getvalue() == "afterwards\n" and "afterwards" not in path.read_text()
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


@pytest.fixture
def job() -> Iterator[None]:
    console.set_job("3/8 seed=2", parallel=True)
    yield
    console.set_job("")


log = logging.getLogger("en2py.tests")


def test_lines_of_a_job_start_with_its_label(job: None, capsys: Any) -> None:
    log.info("resuming")
    log.warning("W&B is off")
    streams = capsys.readouterr()
    assert streams.out == "3/8 seed=2: resuming\n" and streams.err == "3/8 seed=2: W&B is off\n"
    console.set_job("")
    log.info("done")
    assert capsys.readouterr().out == "done\n"


def test_a_job_prints_progress_every_ten_seconds(job: None, capsys: Any) -> None:
    log.info("epoch 1/2", extra=console.PROGRESS)
    log.info("epoch 2/2", extra=console.PROGRESS)
    assert capsys.readouterr().out == "3/8 seed=2: epoch 1/2\n"


def test_lines_are_neither_wrapped_nor_read_as_markup(capsys: Any) -> None:
    line = "[bold]/a/long/path " * 20 + ":smile:"
    log.info(line)
    assert capsys.readouterr().out == line + "\n"


def test_other_ranks_print_nothing(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.console, "quiet", True)
    log.info("epoch 1/2", extra=console.PROGRESS)
    log.warning("a warning")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (700, "12 min"), (9000, "2.5 h")])
def test_duration_has_one_unit(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text
