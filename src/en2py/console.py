"""Print log records, tables and progress on the terminal; redirect library logging to a file."""

import io
import logging
import os
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console = Console(highlight=False, width=140)  # a file has no width; 80 would stack the tables

PROGRESS = {"progress": True}  # `log.info(text, extra=PROGRESS)`: one of many lines of a task
_EVERY_S = 10.0  # least time between two progress lines of a job of a sweep
_BAR_EVERY_S = 20.0  # time between two lines of a bar where the output is a file
_BAR_WIDTH = 30
_WITH_HANDLERS = ("pytorch_lightning", "lightning_fabric")  # loggers that write to stderr
_NOISE = "`weights_only` was not set"  # Lightning, at each checkpoint that it writes
_COMMAND = re.compile(  # with its options, and a word in capitals or quotes in their place
    r"(?:python )?(?<![\w-])(?:(?:\S*/)?(?:train|evaluate|generate|demo)\.py|en2py-\w+)"
    r"(?: (?:--?\w\S*|[~+\w./]+=\S+|[A-Z]+\b|\"[^\"]*\"|'[^']*'))+"
    r"|wandb sync \S+|pip install (?:-e )?(?P<quote>[\"']).*?(?P=quote)"
)

_PROGRAMS = ("train.py", "evaluate.py", "generate.py", "demo.py")

IS_CHECKOUT = not (Path(__file__).parent / "conf").is_dir()  # a wheel holds the configs

log = logging.getLogger(__name__)


class JobPrefix(logging.Filter):
    """Prefix the lines of a sweep's job with its label, and drop most of its progress lines.

    Attributes:
        label: `2/6 loss=smoothed`; empty outside of a sweep.
        parallel: Whether other processes write to the same terminal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set("", parallel=False)

    def set(self, label: str, *, parallel: bool) -> None:
        """Take over the lines of another job."""
        self.label, self.parallel, self._progress_at = label, parallel, -_EVERY_S

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the record's `line`; return False for a progress line that comes too soon."""
        text = record.getMessage()
        record.line = f"{self.label}: {text}" if self.label else text
        if not hasattr(record, "progress") or not self.label:
            return True
        if has_bar():
            return False  # the bar shows it
        now = time.monotonic()
        if now - self._progress_at < _EVERY_S:
            return False
        self._progress_at = now
        return True


class TerminalHandler(logging.Handler):
    """Print records without markup: warnings on stderr, the others on stdout.

    Attributes:
        printed_at: Time of the last record.
    """

    def __init__(self, job: JobPrefix) -> None:
        super().__init__(logging.INFO)
        self.job, self.printed_at = job, time.monotonic()
        self.addFilter(job)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; nothing on ranks other than 0, whose console is quiet."""
        if console.quiet:
            return
        self.printed_at = time.monotonic()
        line: str = record.line  # type: ignore[attr-defined]  # set by JobPrefix
        if record.levelno >= logging.WARNING:
            print_error(line)
        else:
            console.print(Text(wrapped(as_installed(line), has_width())), soft_wrap=True)


_handler = TerminalHandler(JobPrefix())


def as_installed(text: str) -> str:
    """Return a text with its commands as they are typed here.

    Those of a checkout have the path of the running program; an installed package has commands of
    its own, and a wheel extras too.
    """
    folder, program = os.path.split(sys.argv[0])
    own_commands = re.compile(r"(?<![\w./-])(python )?(train|evaluate|generate)\.py\b")
    if IS_CHECKOUT:
        if program.startswith("en2py-"):  # of an editable installation, in any folder
            return own_commands.sub(r"en2py-\2", text)
        if not folder or program not in _PROGRAMS:
            return text
        known = "|".join(map(re.escape, _PROGRAMS))
        return re.sub(
            rf"(?<=\bpython[ \u00a0])(?:{known})\b",
            lambda found: shlex.quote(os.path.join(folder, found[0])),
            text,
        )
    text = own_commands.sub(r"en2py-\2", text)
    return re.sub(r"""pip install -e (["'])\.\[""", r"pip install \1en2py[", text)


def print_error(text: str) -> None:
    """Print a text on stderr; on a terminal it is wrapped."""
    is_terminal = sys.stderr.isatty() or "COLUMNS" in os.environ
    print(wrapped(as_installed(text), is_terminal), file=sys.stderr, flush=True)


def configure_logging() -> None:
    """Print what the package logs, from INFO on; calling it again changes nothing.

    From then on stdout writes what its encoding lacks as backslash escapes, for a result must not
    be lost to a `UnicodeEncodeError`. Files are UTF-8, whatever the terminal's encoding.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's is not
        sys.stdout.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("en2py")
    logger.setLevel(logging.INFO)
    logger.handlers = [_handler]


def set_job(label: str, *, parallel: bool = False) -> None:
    """Set the job of a sweep that this process executes from now on.

    Args:
        label: Prefix of its lines; empty at the end of the sweep.
        parallel: Whether other processes write to the same terminal.
    """
    _handler.job.set(label, parallel=parallel)


@dataclass
class Progress:
    """A task in progress; the last one that started is shown.

    Attributes:
        title: What is done.
        done: How much of it.
        total: How much there is to do; 0 if that is not known.
        note: A remark behind the count.
        left: Seconds until the end; None: in proportion to the time since the first count.
        first: The first count.
        started: The time of the first count.
    """

    title: str
    done: float = 0
    total: float = 0
    note: str = ""
    left: float | None = None
    first: float = 0
    started: float = 0.0

    def update(self, done: float, total: float, note: str = "", left: float | None = None) -> None:
        """Set how far the task is; print a line now and then where there is no bar."""
        if total and not self.total:  # what came before the count is no measure of the rest
            self.first, self.started = done, time.monotonic()
        self.done, self.total, self.note, self.left = done, total, note, left
        if not has_bar() and time.monotonic() - _handler.printed_at >= _BAR_EVERY_S:
            log.info("  ".join(filter(None, [self.title, *self.texts()])), extra=PROGRESS)

    def texts(self) -> list[str]:
        """Return count, remark and remaining time; empty where they are not known."""
        left = self.left
        if left is None and self.total and self.done > self.first:
            each = (time.monotonic() - self.started) / (self.done - self.first)
            left = each * (self.total - self.done)
        count = f"{self.done:,.0f}/{self.total:,.0f}" if self.total else ""
        return [count, self.note, "" if left is None else f"{duration(left)} left"]


_running: list[Progress] = []
_live: list[Live] = []  # the bar, if there is one


def has_bar() -> bool:
    """Return whether a live bar is on the terminal."""
    return bool(_live)


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show the progress of a task: on a terminal as a live bar, in a file as a line now and then.

    Lines that are logged in the meantime are printed above the bar. A task inside of another one
    is shown in its place.
    """
    progress = Progress(title)
    _running.append(progress)
    live = None
    if console.is_terminal and not (console.quiet or _live or _handler.job.parallel):
        live = Live(
            get_renderable=_bar,
            console=console,
            transient=True,
            refresh_per_second=4,
            redirect_stderr=sys.stderr.isatty(),
        )
        _live.append(live)
        live.start()
    progress.update(0, 0)
    try:
        yield progress
    finally:
        _running.remove(progress)
        if live is not None:
            live.stop()
            _live.remove(live)


def _bar() -> RenderableType:
    """Return one line: title, bar, count, remark, remaining time, as far as they fit."""
    if not _running:
        return ""
    progress, label = _running[-1], _handler.job.label
    count, note, left = progress.texts()
    room = console.width - 1
    for head, tail in (
        (f"{label}: {progress.title}" if label else progress.title, (count, note, left)),
        (f"{label} {progress.title}".split(" ")[0] if label else progress.title, (count, left)),
        (progress.title, (left or count,)),
    ):
        text = "  ".join(filter(None, tail))
        width = room - len(head) - len(text) - 4
        if width >= 4:
            break
    else:
        return Text(f"{head[: max(room - len(text) - 2, 0)]}  {text}"[:room])
    line = Table.grid(padding=(0, 2, 0, 0))
    drawn = ProgressBar(
        progress.total or None,
        progress.done,
        width=min(width, _BAR_WIDTH),
        pulse=not progress.total,
    )
    line.add_row(Text(head), drawn, Text(text))
    return line


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers are aligned to the right and never wrapped, texts to the left.

    A page shows `about` on hovering.
    """

    label: str
    about: str = ""
    numeric: bool = True


def print_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where it does not fit, print each row as a list of its cells.

    No number is cut and no word is broken: cells of text and heads are wrapped at words.

    Args:
        title: Printed above it.
        columns: Texts first, then numbers.
        rows: A cell for each column; lines of a cell are separated by newlines.
    """
    lines = [_longest([row[i] for row in rows], "\n") for i in range(len(columns))]
    words = [_longest([row[i] for row in rows]) for i in range(len(columns))]
    widths = [
        max(lines[i] if column.numeric else words[i], _longest([column.label]))
        for i, column in enumerate(columns)
    ]
    free = console.width + 2 - sum(width + 2 for width in widths)
    console.print()
    console.print(Text(wrapped(title, has_width()), style="bold"), soft_wrap=True)
    if free < 0:
        _print_stacked(columns, rows)
        return
    for i, column in enumerate(columns):
        more = min(free, max(lines[i], len(column.label)) - widths[i])
        free, widths[i] = free - more, widths[i] + more
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        label = "\n".join(textwrap.wrap(column.label, width, break_long_words=False))
        table.add_column(
            Text(_plain(label)),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            width=width,
        )
    for row in rows:
        table.add_row(*(Text(_plain(cell)) for cell in row))
    console.print(table)


def _print_stacked(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    labels = max((len(column.label) for column in columns if column.numeric), default=0)
    for row in rows:
        heads = [
            f"{column.label}={cell}" if column.label else cell
            for column, cell in zip(columns, row, strict=True)
            if cell and not column.numeric
        ]
        lines = [wrapped("  ".join(head.replace("\n", " ") for head in heads), True)]
        lines += [
            f"  {column.label:<{labels}}  {'  '.join(cell.splitlines())}"
            for column, cell in zip(columns, row, strict=True)
            if cell and column.numeric
        ]
        console.print(Text(_plain("\n".join(lines))), soft_wrap=True)


def _longest(texts: Sequence[str], separator: str = "[ \n]") -> int:
    return max((len(part) for text in texts for part in re.split(separator, text)), default=0)


def has_width() -> bool:
    """Return whether lines are wrapped: on a terminal, and where `COLUMNS` sets a width."""
    return console.is_terminal or "COLUMNS" in os.environ


def wrapped(text: str, is_terminal: bool) -> str:
    """Wrap the lines of a text at spaces to the width of the terminal.

    Words that are longer, such as paths, are kept whole; so are commands, which are copied, and
    parts with non-breaking spaces, which become normal ones. A comment remains one.

    Args:
        text: Of one or more lines.
        is_terminal: Whether the output has a width.
    """
    lines = text.split("\n") if is_terminal else []
    folded = [
        textwrap.fill(
            _COMMAND.sub(lambda match: match[0].replace(" ", "\u00a0"), line),
            console.width,
            subsequent_indent="# " if line.startswith("# ") else "",
            break_long_words=False,
            break_on_hyphens=False,
            tabsize=4,
        )
        if len(line) > console.width
        else line
        for line in lines
    ]
    return _plain("\n".join(folded) if is_terminal else text)


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def percent(share: float, digits: int = 1) -> str:
    """Format a share: `12.3 %`, with a space that is not wrapped."""
    return f"{100 * share:.{digits}f}\u00a0%"


def counted(n: int, noun: str) -> str:
    """Format a number of things: `1 run`, `2,100 runs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: float) -> str:
    """Format a time: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append log records and warnings, those of libraries included, to a file.

    Args:
        path: The file; its folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # the disk is full
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: _NOISE not in record.getMessage())
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in _WITH_HANDLERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
