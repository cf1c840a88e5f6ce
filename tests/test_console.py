"""Log records on the terminal, and the records of libraries in a file."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from en2py import console
from en2py.console import Column, log_file


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


@pytest.mark.parametrize(("n", "text"), [(0, "0 pairs"), (1, "1 pair"), (2100, "2,100 pairs")])
def test_counted_things_have_a_plural(n: int, text: str) -> None:
    assert console.counted(n, "pair") == text


# --------------------------------------------------------------------------- tables and progress

WIDTHS = (60, 80, 100, 140, 200)
COLUMNS = [
    Column("loss", numeric=False),
    Column("embeddings", numeric=False),
    Column("runs"),
    Column("val/nll"),
    Column("difference"),
    Column("passes,\u00a0%"),
    Column("exact match up to names,\u00a0%"),
]
ROWS = [
    ["smoothed (best)", "joint", "3", "1.234\n1.201–1.267", "−0.012▼\n−0.120 to −0.001", "82.7",
     "78.8\n77.0–80.0"],
    ["weighted", "pretrained_vectors", "3", "1.246", "", "100.0", "–"],
]  # fmt: skip


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Console]:
    """Return a function that replaces the console by a terminal, or a file, of some width."""

    def replace(width: int, is_terminal: bool) -> Console:
        own = Console(
            highlight=False,
            width=width,
            force_terminal=is_terminal,
            color_system=None,
            file=io.StringIO(),
        )
        monkeypatch.setattr(console, "console", own)
        return own

    return replace


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_tables_neither_cut_numbers_nor_break_words(
    width: int, is_terminal: bool, terminal: Callable[..., Console]
) -> None:
    own = terminal(width, is_terminal)
    console.print_table("adhoc: summary", COLUMNS, ROWS)
    text = own.file.getvalue()  # type: ignore[attr-defined]
    lines = text.splitlines()
    assert "…" not in text and "..." not in text
    assert max(map(len, lines)) <= width
    words = set(text.replace("=", " ").split())
    for row in [*ROWS, [column.label.replace("\u00a0", " ") for column in COLUMNS]]:
        assert {word for cell in row for word in cell.split()} <= words


def test_a_narrow_table_is_printed_as_lists(terminal: Callable[..., Console]) -> None:
    own = terminal(60, True)
    console.print_table("", COLUMNS, ROWS)
    text = own.file.getvalue()  # type: ignore[attr-defined]
    assert "loss=weighted  embeddings=pretrained_vectors\n" in text
    assert "  val/nll                     1.234  1.201–1.267\n" in text


def test_lines_are_wrapped_at_words_and_paths_stay_whole(
    terminal: Callable[..., Console],
) -> None:
    terminal(40, True)
    path = "/a/long/path" * 5
    text = console.wrapped(f"everything is in {path}", True)
    assert text.split("\n") == ["everything is in", path]
    line = "epoch\u00a01/2  val/nll\u00a01.000  train/nll\u00a01.000  9\u00a0s\u00a0left"
    assert console.wrapped(line, True).split("\n") == [
        "epoch 1/2  val/nll 1.000",
        "train/nll 1.000  9 s left",
    ]
    comment = "# a description that is too long for one line"
    assert console.wrapped(comment, True).split("\n") == [
        "# a description that is too long for one",
        "# line",
    ]


@pytest.mark.parametrize(
    "command",
    [
        "python evaluate.py ckpt_path=/a/long/path/of/a/checkpoint/best.ckpt",
        "en2py-train -m experiment=loss_functions loss=plain,smoothed seed=1,2,3",
        'generate.py --decoding=beam CHECKPOINT "add two numbers and print them"',
        'pip install -e ".[sweeps,ctranslate2,codebleu,demo]"',
    ],
)
def test_a_command_is_never_broken_for_it_is_copied(
    terminal: Callable[..., Console], command: str
) -> None:
    terminal(40, True)
    lines = console.wrapped(f"it is too long for a line: {command} (of any width)", True)
    assert lines.split("\n") == ["it is too long for a line:", command, "(of any width)"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_a_bar_is_one_line_with_the_remaining_time(
    width: int, terminal: Callable[..., Console]
) -> None:
    own = terminal(width, True)
    with console.progress_bar("generating programs for test pairs") as bar:
        bar.update(640, 2100, "9,012 tokens/s", left=204)
        own.file.truncate(0)
        own.file.seek(0)
        own.print(console._bar())
    (line,) = own.file.getvalue().splitlines()[:1]  # type: ignore[attr-defined]
    assert len(line.rstrip()) < width
    assert "3 min left" in line


def test_a_bar_of_a_file_is_a_line_now_and_then(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    log.info("start")
    with console.progress_bar("running programs") as bar:
        for done in range(1, 5):
            now += 15
            bar.update(done, 8)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["start", "running programs  2/8  90 s left".replace("90 s", "2 min"),
                       "running programs  4/8  60 s left"]  # fmt: skip


def test_the_time_before_the_first_count_is_no_part_of_the_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    progress = console.Progress("preparing the data")
    now = 60.0
    progress.update(100, 1000)
    assert progress.texts() == ["100/1,000", "", ""]
    now = 61.0
    progress.update(200, 1000)
    assert progress.texts() == ["200/1,000", "", "8 s left"]


def test_the_inner_task_is_shown(terminal: Callable[..., Console]) -> None:
    own = terminal(80, True)
    with console.progress_bar("training"), console.progress_bar("generating samples"):
        own.print(console._bar())
    assert "generating samples" in own.file.getvalue()  # type: ignore[attr-defined]
    assert not console.has_bar()


def test_a_checkout_in_another_folder_is_named_with_its_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "same:\npython\u00a0train.py seed=2; python evaluate.py x; train.py; python my/train.py"
    monkeypatch.setattr(console.sys, "argv", ["train.py"])
    assert console.as_installed(text) == text
    monkeypatch.setattr(console.sys, "argv", ["/my code/train.py"])
    found = console.as_installed(text).replace("\u00a0", " ")
    assert found.startswith(
        "same:\npython '/my code/train.py' seed=2; python '/my code/evaluate.py' "
    )
    assert found.endswith("; train.py; python my/train.py")
    monkeypatch.setattr(console.sys, "argv", ["../c/train.py"])
    command = "python evaluate.py ckpt_path=" + "x" * 99
    assert (
        console.wrapped(console.as_installed(command), True)
        == f"python ../c/evaluate.py ckpt_path={'x' * 99}"
    )


def test_a_wheel_names_its_own_commands_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'python evaluate.py x; train.py; my/train.py; pip install -e ".[sweeps]"'
    assert console.as_installed(text) == text
    monkeypatch.setattr(console.sys, "argv", ["/.venv/bin/en2py-train"])  # editable
    found = console.as_installed(text)
    assert found == 'en2py-evaluate x; en2py-train; my/train.py; pip install -e ".[sweeps]"'
    monkeypatch.setattr(console, "IS_CHECKOUT", False)
    found = console.as_installed(text)
    assert found == 'en2py-evaluate x; en2py-train; my/train.py; pip install "en2py[sweeps]"'
