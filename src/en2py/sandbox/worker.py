"""The isolated side of the sandbox: a worker that forks a process for each candidate.

Three processes, from trusted to untrusted:

- the launcher, started by `pool.py`: drops root, enters the namespaces, then waits;
- the worker, process 1 of its namespace: reads jobs, supervises candidates, and returns their raw
  bytes without parsing them; when it dies, the kernel kills its descendants;
- the candidate, process 1 of another namespace, forked for each program; the worker kills it by
  SIGKILL, and the kernel kills everything that it started.

Standard library only, and no import from the package but the files of this folder.
"""

import gc
import json
import os
import select
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from en2py.sandbox import isolation, seccomp
from en2py.sandbox.candidate import EXIT_FLOOD, EXIT_NOT_LOADED, MAX_PRINTED, prepare, run_candidate
from en2py.sandbox.protocol import BUSY_FACTOR, BUSY_SHARE, WALL_PER_CPU

# Imported before isolation and shared by all candidates, so that importing them is fast.
_COMMON = (
    "bisect collections copy datetime decimal fractions functools heapq itertools json math "
    "operator random re statistics string time types typing"
)
MAX_RESULT = 2_000_000  # bytes of one candidate
MAX_RESTARTS = 20  # calls of one candidate that may kill it before the rest is skipped
NOT_LOADED = "not loaded"
_SCRATCH_MB, _FILE_MB, _THREADS = 16, 4, 24


class Worker:
    """The supervising process: its isolation and the loop over jobs."""

    def __init__(self, scratch: str, memory_mb: int) -> None:
        self.scratch, self.memory_mb = scratch, memory_mb
        self.layers: dict[str, str] = {}  # layer -> "" if it is active, else the reason
        self.namespace = -1  # descriptor of the worker's process namespace; -1 without one
        self.filter = b""
        self.null = os.open(os.devnull, os.O_RDWR)

    def isolate(self) -> None:
        """Set up the isolation that all candidates share, and record the missing layers."""
        user = isolation.drop_root(self.scratch, struct.__file__)
        self.layers["user"] = user
        if sys.platform != "linux":  # where number 444 may be another system call
            self.layers |= dict.fromkeys(("namespaces", "landlock", "seccomp"), "needs Linux")
            os.chdir(self.scratch)
            return
        self.layers["namespaces"] = _attempt_in_child(
            lambda: isolation.enter_namespaces(self.scratch, _SCRATCH_MB)
        )
        if not self.layers["namespaces"]:
            isolation.enter_namespaces(self.scratch, _SCRATCH_MB)
            self._become_first_process()
            self.namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        os.chdir(self.scratch)
        gc.collect()
        gc.freeze()  # so that the collector does not copy pages shared with forks
        readable = _readable_paths()
        self.layers["landlock"] = _attempt(lambda: isolation.restrict_files(readable, self.scratch))
        try:
            self.filter = seccomp.seccomp_program()
            self.layers["seccomp"] = _attempt_in_child(
                lambda: seccomp.filter_system_calls(self.filter)
            )
        except OSError as error:
            self.layers["seccomp"] = str(error)
        if self.layers["seccomp"]:
            self.filter = b""

    def _become_first_process(self) -> None:
        """Continue in a child, process 1 of the new namespace; the launcher waits for it."""
        pid = os.fork()
        if pid:
            for stream in (0, 1):  # otherwise the parent would not notice the worker's end
                os.dup2(self.null, stream)
            os.waitpid(pid, 0)
            os._exit(0)
        isolation.die_with_parent()

    def serve(self) -> None:
        """Run jobs from standard input until it is closed."""
        _send({"layers": self.layers}, b"")
        while (job := _receive()) is not None:
            segments, output = self._supervise(job)
            _send({"segments": segments}, output)

    def _supervise(self, job: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
        """Run one job, in a new process after each call that killed its process."""
        segments: list[dict[str, Any]] = []
        output = b""
        first, cpu_left, wall_left = 0, job["timeout_s"], job["timeout_s"] * WALL_PER_CPU
        while True:
            began = time.monotonic()
            sent, ended, cpu = self._run(job, first, cpu_left, wall_left)
            self._empty_scratch()
            segments.append({"first": first, "bytes": len(sent), "ended": ended})
            output += sent
            calls = sent.count(b"\n") - 1  # the first line is the result of loading
            cpu_left -= cpu
            wall = time.monotonic() - began
            wall_left -= wall / BUSY_FACTOR if cpu > BUSY_SHARE * wall else wall
            first += calls + 1
            if (
                ended in ("", NOT_LOADED)
                or not job["restarts"]
                or calls < 0
                or first >= len(job["calls"])
                or min(cpu_left, wall_left) < 0.01
                or len(segments) > MAX_RESTARTS
            ):
                return segments, output

    def _run(
        self, job: dict[str, Any], first: int, cpu_left: float, wall_left: float
    ) -> tuple[bytes, str, float]:
        """Run one candidate from call `first`; return its bytes, how it ended, its CPU seconds."""
        reader, writer = os.pipe()
        if self.namespace >= 0:
            isolation.unshare_processes()
        pid = os.fork()
        if pid == 0:
            self._become_candidate(writer, job, first)
        if self.namespace >= 0:
            isolation.rejoin_processes(self.namespace)
        os.close(writer)
        watch = _Watcher(pid, reader, len(job["calls"]) - first + 1, job["call_timeout_s"])
        sent, ended = watch.read(cpu_left, wall_left)
        os.close(reader)
        os.kill(pid, signal.SIGKILL)  # process 1: the kernel kills the rest of its namespace
        if self.namespace < 0:
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        _, status, usage = os.wait4(pid, 0)
        if ended is None:
            ended = "" if sent.count(b"\n") == watch.lines else _cause_of_exit(status)
        return sent, ended, usage.ru_utime + usage.ru_stime

    def _become_candidate(self, writer: int, job: dict[str, Any], first: int) -> None:
        """Drop the worker's descriptors and privileges, then run the program; never returns."""
        try:
            os.setsid()
            for stream in (0, 1, 2):
                os.dup2(self.null, stream)
            writer = os.dup2(writer, 3)
            os.closerange(4, 256)
            isolation.limit_resources(
                self.memory_mb,
                int(job["timeout_s"]) + 2,
                _FILE_MB,
                _THREADS if self.namespace >= 0 else None,
            )
            if sys.platform == "linux":
                isolation.drop_capabilities()
            if self.filter:
                seccomp.filter_system_calls(self.filter)
            run_candidate(writer, job, first)
        finally:
            os._exit(1)

    def _empty_scratch(self) -> None:
        """Empty the folder, so that no candidate finds files of another."""
        for entry in os.scandir(self.scratch):
            try:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            except OSError:
                pass  # in use or not readable, also for the next candidate


class _Watcher:
    """Reads the bytes of one candidate within its limits of time and size."""

    def __init__(self, pid: int, reader: int, lines: int, call_timeout_s: float | None) -> None:
        self.pid, self.reader, self.lines, self.call_timeout_s = pid, reader, lines, call_timeout_s
        try:
            self.clock = (~pid << 3) | 2  # CPU time of the process; clock_getcpuclockid(3)
            time.clock_gettime(self.clock)
        except (OSError, OverflowError):  # macOS: wall-clock time counts instead
            self.clock = time.CLOCK_MONOTONIC

    def _cpu(self) -> float:
        try:
            return time.clock_gettime(self.clock)
        except OSError:  # already gone
            return 0.0

    def read(self, cpu_s: float, wall_s: float) -> tuple[bytes, str | None]:
        """Return the bytes and the reason to stop the candidate; None where it closed the pipe."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        poll.register(0, 0)  # reports only that the parent closed it
        start_wall = call_wall = time.monotonic()
        start_cpu = call_cpu = self._cpu()
        chunks: list[bytes] = []
        size = seen = 0
        while True:
            wall, cpu = time.monotonic(), self._cpu()
            left = [cpu_s - (cpu - start_cpu)]
            left.append(_wall_left(wall_s, wall - start_wall, cpu - start_cpu))
            if self.call_timeout_s is not None and seen:  # loading has the limit of the job
                left.append(self.call_timeout_s - (cpu - call_cpu))
                limit = self.call_timeout_s * WALL_PER_CPU
                left.append(_wall_left(limit, wall - call_wall, cpu - call_cpu))
            if min(left) <= 0:
                return b"".join(chunks), "timeout"
            for handle, _ in poll.poll(max(1, int(min(left) * 1000))):
                if handle == 0:
                    os._exit(0)  # no reader is left; the kernel kills the candidate
                chunk = os.read(self.reader, 1 << 16)
                if not chunk:
                    return b"".join(chunks), None
                chunks.append(chunk)
                size += len(chunk)
                if b"\n" in chunk:
                    seen += chunk.count(b"\n")
                    call_wall, call_cpu = time.monotonic(), self._cpu()
                if size > MAX_RESULT:
                    return b"".join(chunks)[:MAX_RESULT], "sent too large a result"
                if seen > self.lines:
                    return b"".join(chunks), "forged result"


def _wall_left(limit: float, wall: float, cpu: float) -> float:
    """Return the seconds of wall-clock time that are left, after `wall` with `cpu` CPU seconds."""
    return limit * (BUSY_FACTOR if cpu > BUSY_SHARE * wall else 1) - wall


def _cause_of_exit(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    if os.WEXITSTATUS(status) == EXIT_FLOOD:
        return f"printed more than {MAX_PRINTED} characters"
    if os.WEXITSTATUS(status) == EXIT_NOT_LOADED:
        return NOT_LOADED
    return "left the process"


def _attempt(step: Callable[[], None]) -> str:
    """Return an empty text, or the error message of a step of isolation."""
    try:
        step()
    except (OSError, AttributeError) as error:  # AttributeError: no such function outside Linux
        return str(error)
    return ""


def _attempt_in_child(step: Callable[[], None]) -> str:
    """Try a step of isolation in a child first: a partial one cannot be undone."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, _attempt(step).encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    return answer.decode() or (f"died with status {status}" if status else "")


def _readable_paths() -> list[str]:
    """Return the readable paths: the standard library, shared libraries, time zones."""
    library = Path(sys.base_prefix) / "lib"
    return [
        *(path for path in sys.path if path),
        *([str(library)] if library != Path("/usr/lib") else []),
        *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo"),
        *("/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom"),
    ]


def _receive() -> dict[str, Any] | None:
    header = _read_exactly(4)
    if header is None:
        return None
    body = _read_exactly(int.from_bytes(header))
    return None if body is None else json.loads(body)


def _read_exactly(size: int) -> bytes | None:
    parts = b""
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part:
            return None
        parts += part
    return parts


def _send(header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    message = memoryview(struct.pack("=II", len(text), len(body)) + text + body)
    while message:
        message = message[os.write(1, message) :]


def main(scratch: str, memory_mb: int, source: str) -> None:
    """Run a worker; called by the command line of `pool.py`."""
    sys.path.remove(source)
    for name in _COMMON.split():
        __import__(name)
    worker = Worker(scratch, memory_mb)
    prepare()
    worker.isolate()
    worker.serve()
