"""Print log records on the terminal as plain lines, and redirect library logging to a file."""

import io
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=140)  # a file has no width; 80 would fold the tables

PROGRESS = {"progress": True}  # `log.info(text, extra=PROGRESS)`: a line that replaces the last one
_EVERY_S = 10.0  # least time between two progress lines of a job whose output is a file
_CLEAR = "\r\x1b[2K"  # return to the start of the line and erase it
_WITH_HANDLERS = ("pytorch_lightning", "lightning_fabric")  # loggers that write to stderr
_NOISE = "`weights_only` was not set"  # Lightning, at each checkpoint that it writes


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

    @property
    def overwrites(self) -> bool:
        """Return whether progress is shown on a single line."""
        return bool(self.label) and console.is_terminal and not self.parallel

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the record's `line`; return False for a progress line that comes too soon."""
        text = record.getMessage()
        record.line = f"{self.label}: {text}" if self.label else text
        if not hasattr(record, "progress") or not self.label or self.overwrites:
            return True
        now = time.monotonic()
        if now - self._progress_at < _EVERY_S:
            return False
        self._progress_at = now
        return True


class TerminalHandler(logging.Handler):
    """Print records unwrapped and without markup: warnings on stderr, the others on stdout."""

    def __init__(self, job: JobPrefix) -> None:
        super().__init__(logging.INFO)
        self.job, self._line_is_open = job, False
        self.addFilter(job)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; nothing on ranks other than 0, whose console is quiet."""
        if console.quiet:
            return
        self.close_line()
        line: str = record.line  # type: ignore[attr-defined]  # set by JobPrefix
        if record.levelno >= logging.WARNING:
            print(line, file=sys.stderr, flush=True)
        elif hasattr(record, "progress") and self.job.overwrites:
            print(line[: console.width - 1], end="", flush=True)
            self._line_is_open = True
        else:
            console.print(Text(line), soft_wrap=True)

    def close_line(self) -> None:
        """Erase the progress line."""
        if self._line_is_open:
            print(_CLEAR, end="", flush=True)
            self._line_is_open = False


_handler = TerminalHandler(JobPrefix())


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
    _handler.close_line()
    _handler.job.set(label, parallel=parallel)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yield a function that takes the numbers (done, total)."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
