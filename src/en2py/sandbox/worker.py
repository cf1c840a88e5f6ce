"""What runs inside: a worker behind walls that forks a fresh process for each candidate.

Three processes, from trusted to untrusted:

- the launcher, started by `parent.py`; it leaves root and enters the namespaces, then waits;
- the worker, process 1 of its namespace; it reads jobs, supervises, and answers with raw bytes that
  it does not parse; when it dies, the kernel ends everything behind it;
- the candidate, process 1 of a namespace of its own, forked clean for each program; its death,
  which the worker brings about with SIGKILL, ends whatever it left running.

Standard library only. Nothing from the package but the files of this folder is imported here.
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
from en2py.sandbox.candidate import EXIT_FLOOD, EXIT_NOT_LOADED, MAX_PRINTED, run_candidate

# Loaded before the walls and shared by all candidates, so that their imports cost nothing.
_COMMON = (
    "bisect collections copy datetime decimal fractions functools heapq itertools json math "
    "operator random re statistics string time types typing"
)
MAX_RESULT = 2_000_000  # bytes that one candidate may send
WALL_PER_CPU = (
    4  # seconds by the clock for each second of processor time; sleeping costs no processor
)
MAX_RESTARTS = 20  # calls of one candidate that may kill it before the rest is given up
NOT_LOADED = "not loaded"
_SCRATCH_MB, _FILE_MB, _THREADS = 16, 4, 24


class Worker:
    """The supervising process: its walls and the loop over jobs."""

    def __init__(self, scratch: str, memory_mb: int) -> None:
        self.scratch, self.memory_mb = scratch, memory_mb
        self.layers: dict[str, str] = {}  # layer -> "" if it stands, else why not
        self.namespace = -1  # handle of the worker's own process namespace; -1 without one
        self.filter = b""
        self.null = os.open(os.devnull, os.O_RDWR)

    def enter(self) -> None:
        """Put up what all candidates share; notes what the machine refuses instead of failing."""
        user = isolation.leave_root(self.scratch, struct.__file__)
        self.layers["user"] = user
        if sys.platform != "linux":  # where 444 may be quite another system call
            self.layers |= dict.fromkeys(("namespaces", "landlock", "seccomp"), "needs Linux")
            os.chdir(self.scratch)
            return
        self.layers["namespaces"] = _attempt_apart(
            lambda: isolation.enter_namespaces(self.scratch, _SCRATCH_MB)
        )
        if not self.layers["namespaces"]:
            isolation.enter_namespaces(self.scratch, _SCRATCH_MB)
            self._become_first_process()
            self.namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        os.chdir(self.scratch)
        gc.collect()
        gc.freeze()  # keeps the collector from touching, and so copying, pages shared with forks
        readable = _readable_paths()
        self.layers["landlock"] = _attempt(lambda: isolation.restrict_files(readable, self.scratch))
        try:
            self.filter = seccomp.seccomp_program()
            self.layers["seccomp"] = _attempt_apart(
                lambda: seccomp.filter_system_calls(self.filter)
            )
        except OSError as error:
            self.layers["seccomp"] = str(error)
        if self.layers["seccomp"]:
            self.filter = b""

    def _become_first_process(self) -> None:
        """Go on in a child, process 1 of the new namespace; the launcher waits and leaves."""
        pid = os.fork()
        if pid:
            for stream in (0, 1):  # or the parent would not see the worker's end
                os.dup2(self.null, stream)
            os.waitpid(pid, 0)
            os._exit(0)
        isolation.die_with_parent()

    def serve(self) -> None:
        """Answer jobs from standard input until it closes."""
        _send({"layers": self.layers}, b"")
        while (job := _receive()) is not None:
            segments, output = self._supervise(job)
            _send({"segments": segments}, output)

    def _supervise(self, job: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
        """Run one job, in a fresh process again after each call that killed its process."""
        segments: list[dict[str, Any]] = []
        output = b""
        first, cpu_left, wall_left = 0, job["timeout_s"], job["timeout_s"] * WALL_PER_CPU
        while True:
            began = time.monotonic()
            sent, ended, cpu = self._run(job, first, cpu_left, wall_left)
            self._sweep()
            segments.append({"first": first, "bytes": len(sent), "ended": ended})
            output += sent
            calls = sent.count(b"\n") - 1  # one line tells how loading went
            cpu_left -= cpu
            wall_left -= time.monotonic() - began
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
        """Run one candidate from call `first` on: its bytes, how it was ended, its seconds."""
        reader, writer = os.pipe()
        if self.namespace >= 0:
            isolation.new_process_space()
        pid = os.fork()
        if pid == 0:
            self._become_candidate(writer, job, first)
        if self.namespace >= 0:
            isolation.return_to_process_space(self.namespace)
        os.close(writer)
        watch = _Watch(pid, reader, len(job["calls"]) - first + 1, job["call_timeout_s"])
        sent, ended = watch.read(cpu_left, wall_left)
        os.close(reader)
        os.kill(pid, signal.SIGKILL)  # process 1: the kernel ends the rest of its namespace
        if self.namespace < 0:
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        _, status, usage = os.wait4(pid, 0)
        if ended is None:
            ended = "" if sent.count(b"\n") == watch.lines else _how(status)
        return sent, ended, usage.ru_utime + usage.ru_stime

    def _become_candidate(self, writer: int, job: dict[str, Any], first: int) -> None:
        """Shed all that is the worker's, put the last walls up, run the program; never returns."""
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

    def _sweep(self) -> None:
        """Empty the folder, so that no candidate finds what another left."""
        for entry in os.scandir(self.scratch):
            try:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            except OSError:
                pass  # held open or made unreadable; the next candidate cannot change that either


class _Watch:
    """Reads one candidate's bytes under its limits of time and size."""

    def __init__(self, pid: int, reader: int, lines: int, call_timeout_s: float | None) -> None:
        self.pid, self.reader, self.lines, self.call_timeout_s = pid, reader, lines, call_timeout_s
        try:
            self.clock = (~pid << 3) | 2  # the process's processor time; clock_getcpuclockid(3)
            time.clock_gettime(self.clock)
        except (OSError, OverflowError):  # not on macOS: time by the clock counts in full there
            self.clock = time.CLOCK_MONOTONIC

    def _cpu(self) -> float:
        try:
            return time.clock_gettime(self.clock)
        except OSError:  # already gone
            return 0.0

    def read(self, cpu_s: float, wall_s: float) -> tuple[bytes, str | None]:
        """Return what came and the reason for ending it here; None where it closed by itself."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        poll.register(0, 0)  # only the parent's end is of interest
        start_wall = call_wall = time.monotonic()
        start_cpu = call_cpu = self._cpu()
        chunks: list[bytes] = []
        size = seen = 0
        while True:
            wall, cpu = time.monotonic(), self._cpu()
            left = [cpu_s - (cpu - start_cpu), wall_s - (wall - start_wall)]
            if self.call_timeout_s is not None and seen:  # loading has the whole time
                left.append(self.call_timeout_s - (cpu - call_cpu))
                left.append(self.call_timeout_s * WALL_PER_CPU - (wall - call_wall))
            if min(left) <= 0:
                return b"".join(chunks), "timeout"
            for handle, _ in poll.poll(max(1, int(min(left) * 1000))):
                if handle == 0:
                    os._exit(0)  # nobody waits for the answer; the kernel ends the candidate
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


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    if os.WEXITSTATUS(status) == EXIT_FLOOD:
        return f"printed more than {MAX_PRINTED} characters"
    if os.WEXITSTATUS(status) == EXIT_NOT_LOADED:
        return NOT_LOADED
    return "left the process"


def _attempt(wall: Callable[[], None]) -> str:
    try:
        wall()
    except (OSError, AttributeError) as error:  # AttributeError: no such function outside Linux
        return str(error)
    return ""


def _attempt_apart(wall: Callable[[], None]) -> str:
    """Try a wall in a process of its own: half of one cannot be undone."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, _attempt(wall).encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    return answer.decode() or (f"died with status {status}" if status else "")


def _readable_paths() -> list[str]:
    """List what a candidate may read: the standard library, shared libraries, time zones."""
    library = Path(sys.base_prefix) / "lib"
    own = [path for path in sys.path if path] + (
        [str(library)] if library != Path("/usr/lib") else []
    )
    return [
        *own,
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
    """Run a worker; called by the command line that `parent.py` writes."""
    sys.path.remove(source)
    for name in _COMMON.split():
        __import__(name)
    worker = Worker(scratch, memory_mb)
    worker.enter()
    worker.serve()
