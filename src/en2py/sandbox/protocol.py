"""What goes into the sandbox and what comes out: plain data on both sides."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from en2py.sandbox.serialization import Value, decode

FORGED = "forged result"


@dataclass(frozen=True)
class Job:
    """A program and what to ask of it.

    Attributes:
        code: The untrusted program.
        calls: Expressions to evaluate in it, in order, each with fresh streams. They are read by
            the untrusted program, so they hold inputs and never an expected value.
        stdin: Text on standard input, the same for loading and for each call.
        timeout_s: Processor seconds for everything; None: the sandbox's. Four times as long by the
        clock.
        call_timeout_s: Processor seconds for one call; None: no limit but `timeout_s`.
        restarts: Whether the calls after one that killed its process are made in a fresh one.
    """

    code: str
    calls: tuple[str, ...] = ()
    stdin: str = ""
    timeout_s: float | None = None
    call_timeout_s: float | None = None
    restarts: bool = True


@dataclass(frozen=True)
class Result:
    """What one call (or loading the program) did.

    Attributes:
        value: The returned value as `values.encode` writes it; None also where nothing came back.
        arguments: The arguments after the call, where the call was plainly `name(values)`.
        printed: Text on standard output, without the prompts of `input`.
        exception: Name of the exception's type, or empty.
        message: The exception's text, cut.
        killed: Why no answer came, or empty: `timeout`, `signal SIGSEGV`, `left the process`,
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
        """Whether the call returned: no exception, not killed."""
        return not self.exception and not self.killed

    @property
    def problem(self) -> str:
        """The reason for not having finished, in a few words for counting; empty if it did."""
        return self.killed or self.exception


@dataclass(frozen=True)
class Outcome:
    """What a job did: loading its program, then each of its calls."""

    load: Result
    calls: tuple[Result, ...]

    @property
    def finished(self) -> bool:
        """Whether the program loaded and each call returned."""
        return self.load.finished and all(call.finished for call in self.calls)


def lost(job: Job, reason: str) -> Outcome:
    """Write the outcome of a job whose answer never came."""
    return Outcome(Result(killed=reason), tuple(Result(killed=reason) for _ in job.calls))


def read_outcome(
    job: Job, nonce: str, segments: Sequence[dict[str, Any]], output: bytes
) -> Outcome:
    """Read what a job's processes sent. The bytes are untrusted: any oddity ends the reading there.

    Args:
        job: The job.
        nonce: The word that begins each line.
        segments: From the worker: for each process its first call, its bytes, how it ended.
        output: The processes' bytes, one after the other.
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
            decode(written)  # raises for what is no value
        texts = [content.get(name, "") for name in ("printed", "exception", "message")]
        if not all(isinstance(text, str) for text in texts):
            return Result(killed=FORGED)
    except (ValueError, TypeError, RecursionError):
        return Result(killed=FORGED)
    return Result(value, arguments, *texts)
