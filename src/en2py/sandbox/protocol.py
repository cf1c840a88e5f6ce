"""Jobs for the sandbox and their outcomes, and the parsing of untrusted answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from en2py.sandbox.serialization import Value, decode

FORGED = "forged result"

WALL_PER_CPU = 4  # wall-clock limit per CPU limit, since sleeping takes no CPU time
# A busy machine gives a program a small share of a core, a sleeping program takes none: above this
# share of CPU time the wall-clock limit is this many times as long.
BUSY_SHARE, BUSY_FACTOR = 0.02, 10


@dataclass(frozen=True)
class Job:
    """A program and the calls to evaluate in it.

    Attributes:
        code: The untrusted program.
        calls: Expressions, evaluated in order, each with fresh streams and optionally after
            statements on lines of their own. The untrusted program can read them, so they contain
            inputs and never an expected value.
        stdin: Text on standard input, for loading and for each call.
        timeout_s: CPU seconds in total; None: that of the sandbox. The wall-clock limit is four
            times as long, see `BUSY_FACTOR`.
        call_timeout_s: CPU seconds of one call; None: only `timeout_s` applies.
        restarts: Whether the calls after one that killed the process run in a new process.
    """

    code: str
    calls: tuple[str, ...] = ()
    stdin: str = ""
    timeout_s: float | None = None
    call_timeout_s: float | None = None
    restarts: bool = True


@dataclass(frozen=True)
class Result:
    """The result of one call, or of loading the program.

    Attributes:
        value: The returned value, from `serialization.encode`; None if the call did not return.
        arguments: The arguments after the call, where the call has the form `name(values)`.
        printed: Text on standard output, without the prompts of `input`.
        exception: Name of the exception's type, or empty.
        message: The exception's text, truncated.
        killed: Why there is no answer, or empty: `timeout`, `signal SIGSEGV`, `left the process`,
            `forged result`, `not loaded`, `not reached`...
    """

    value: Value = None
    arguments: tuple[Value, ...] = ()
    printed: str = ""
    exception: str = ""
    message: str = ""
    killed: str = ""

    @property
    def finished(self) -> bool:
        """Return whether the call returned, without exception or kill."""
        return not self.exception and not self.killed

    @property
    def problem(self) -> str:
        """Return why the call did not finish, in a few words for counting; empty if it did."""
        return self.killed or self.exception


@dataclass(frozen=True)
class Outcome:
    """The results of loading a job's program and of its calls."""

    load: Result
    calls: tuple[Result, ...]


def failed_outcome(job: Job, reason: str) -> Outcome:
    """Return the outcome of a job without an answer."""
    return Outcome(Result(killed=reason), tuple(Result(killed=reason) for _ in job.calls))


def read_outcome(
    job: Job, nonce: str, segments: Sequence[dict[str, Any]], output: bytes
) -> Outcome:
    """Parse the bytes of a job's processes. They are untrusted: parsing ends at the first error.

    Args:
        job: The job.
        nonce: First word of each line.
        segments: From the worker, for each process: its first call, number of bytes, how it ended.
        output: The bytes of the processes, concatenated.
    """
    load: Result | None = None
    calls: dict[int, Result] = {}
    position = 0
    for segment in segments:
        raw = output[position : position + segment["bytes"]]
        position += segment["bytes"]
        expected = [-1, *range(segment["first"], len(job.calls))]
        lines = raw.split(b"\n")[:-1]
        ended = segment["ended"]
        for number, line in zip(expected, lines, strict=False):
            result = _read_line(nonce, number, line)
            if number < 0:
                load = load or result
            else:
                calls[number] = result
            if result.killed:
                return _complete(job, load, calls)
        if len(lines) < len(expected):
            number = expected[len(lines)]
            if number < 0:
                load = load or Result(killed=ended or FORGED)
            elif load is not None and load.finished:
                calls[number] = Result(killed=ended or FORGED)
    return _complete(job, load, calls)


def _complete(job: Job, load: Result | None, calls: dict[int, Result]) -> Outcome:
    load = load or Result(killed=FORGED)
    rest = Result(killed="not reached" if load.finished else "not loaded")
    return Outcome(load, tuple(calls.get(number, rest) for number in range(len(job.calls))))


def _read_line(nonce: str, number: int, line: bytes) -> Result:
    try:
        word, place, text = line.decode("ascii").split(" ", 2)
        content = json.loads(text)
        if word != nonce or place != str(number) or not isinstance(content, dict):
            return Result(killed=FORGED)
        value, arguments = content.get("value"), tuple(content.get("arguments", ()))
        for written in (value, *arguments):
            decode(written)  # raises for anything that is no value
        texts = [content.get(name, "") for name in ("printed", "exception", "message")]
        if not all(isinstance(text, str) for text in texts):
            return Result(killed=FORGED)
    except (ValueError, TypeError, RecursionError):
        return Result(killed=FORGED)
    return Result(value, arguments, *texts)
