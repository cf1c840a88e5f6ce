"""The trusted side: a pool of warm workers, and jobs handed to whichever is free."""

import json
import os
import secrets
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from en2py.errors import UserError
from en2py.sandbox.protocol import Job, Outcome, lost, read_outcome

LEVELS = ("process", "kernel", "full")
_LAYERS = {
    "process": (),
    "kernel": ("landlock", "seccomp"),
    "full": ("landlock", "seccomp", "namespaces"),
}
_WALL_PER_CPU, _GRACE_S, _START_S = 4, 10.0, 60.0
_MAX_ANSWER = 64_000_000
_BOOT = "import sys; sys.path.insert(0, sys.argv[3]); \
from en2py.sandbox.worker import main; main(sys.argv[1], int(sys.argv[2]), sys.argv[3])"


class Sandbox:
    """Runs untrusted programs behind the kernel's walls; a context manager.

    The levels, from weakest to strongest. `process`: own process and session, no environment,
    limits, killed by the clock. `kernel`: Landlock and seccomp too. `full`: namespaces too.

    Args:
        timeout_s: Processor seconds for one job; four times as long by the clock on the wall.
        memory_mb: Address space of one candidate.
        workers: Processes that run candidates side by side; None: one for each core.
        min_level: The weakest level to accept: `process`, `kernel` or `full`.
        hash_seed: Order of sets of strings in the candidates, as PYTHONHASHSEED.

    Raises:
        UserError: If the machine cannot give `min_level`.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        memory_mb: int,
        workers: int | None,
        min_level: str,
        hash_seed: int = 0,
    ) -> None:
        if min_level not in LEVELS:
            raise UserError(f"sandbox.min_level={min_level} is none of {', '.join(LEVELS)}")
        if not hasattr(os, "fork"):
            raise UserError(
                "generated code can be run on Linux or macOS only: this system has no fork"
            )
        self.timeout_s, self.memory_mb, self.hash_seed = timeout_s, memory_mb, hash_seed
        self._pool: list[_Worker] = []
        try:
            first = _Worker(memory_mb, hash_seed)
            self._pool.append(first)
            self.layers = first.layers
            self.level = level_of(self.layers)
            if LEVELS.index(self.level) < LEVELS.index(min_level):
                raise UserError(_refusal(self.layers, self.level, min_level))
            for _ in range((workers or _n_cores()) - 1):
                self._pool.append(_Worker(memory_mb, hash_seed))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and remove their folders."""
        for worker in self._pool:
            worker.end()
        self._pool.clear()

    def describe(self) -> str:
        """Tell the level and every layer that is missing, in one sentence for a report."""
        missing = [f"{name} ({why})" for name, why in self.layers.items() if name != "user" and why]
        rest = f"; missing: {', '.join(missing)}" if missing else ""
        return f"sandbox level {self.level}, as {self.layers['user']}{rest}"

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        """Run jobs, each in a fresh process, and return their outcomes in the jobs' order.

        Interrupted, the sandbox closes: answers under way could meet the wrong job.

        Raises:
            RuntimeError: If the sandbox is closed, or a worker cannot be started again.
        """
        if not self._pool:
            raise RuntimeError("this sandbox is closed; open a new one")
        try:
            return self._run(list(jobs))
        except BaseException:
            self.close()
            raise

    def _run(self, jobs: list[Job]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(jobs)
        waiting = iter(enumerate(jobs))
        with selectors.DefaultSelector() as selector:
            busy: dict[_Worker, tuple[int, Job]] = {}

            def feed(place: int) -> None:
                worker = self._pool[place]
                if (following := next(waiting, None)) is None:
                    return
                worker.send(following[1], following[1].timeout_s or self.timeout_s)
                busy[worker] = following
                selector.register(worker.answers, selectors.EVENT_READ, place)

            for place in range(len(self._pool)):
                feed(place)
            while busy:
                due = min(worker.deadline for worker in busy)
                ready = [key.data for key, _ in selector.select(max(0.0, due - time.monotonic()))]
                late = [
                    place
                    for place, worker in enumerate(self._pool)
                    if worker in busy and place not in ready and worker.deadline <= time.monotonic()
                ]
                for place in [*ready, *late]:
                    worker = self._pool[place]
                    number, job = busy[worker]
                    outcome = worker.receive(job) if place in ready else lost(job, "timeout")
                    if outcome is None:  # part of the answer
                        continue
                    outcomes[number] = outcome
                    selector.unregister(worker.answers)
                    del busy[worker]
                    if place in late or worker.broken:
                        worker.end()
                        self._pool[place] = _Worker(self.memory_mb, self.hash_seed)
                    feed(place)
        return [outcome for outcome in outcomes if outcome is not None]


def _n_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def level_of(layers: dict[str, str]) -> str:
    """Return the strongest level of which no layer is missing."""
    return [level for level in LEVELS if not any(layers[name] for name in _LAYERS[level])][-1]


def _refusal(layers: dict[str, str], level: str, min_level: str) -> str:
    missing = [f"{name} ({layers[name]})" for name in _LAYERS[min_level] if layers[name]]
    return (
        f"the sandbox reaches level {level!r} here, below {min_level!r}: "
        f"no {', no '.join(missing)}; "
        f"sandbox.min_level={level} accepts that explicitly, or see docs/sandbox.md"
    )


class _Worker:
    """One warm worker process, from outside."""

    def __init__(self, memory_mb: int, hash_seed: int) -> None:
        self.scratch = tempfile.mkdtemp(prefix="en2py-sandbox-")
        self.errors: IO[bytes] = tempfile.TemporaryFile()
        environment = {
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "MALLOC_ARENA_MAX": "1",  # or each thread takes 64 MB of the address space
            "HOME": self.scratch,
            "TZ": "UTC",
        }
        if libraries := os.environ.get(
            "LD_LIBRARY_PATH"
        ):  # some builds of Python start only with it
            environment["LD_LIBRARY_PATH"] = libraries
        source = str(Path(__file__).resolve().parents[2])
        options = ["-s", "-S", "-P", "-W", "ignore", "-c", _BOOT]
        self.process = subprocess.Popen(
            [sys.executable, *options, self.scratch, str(memory_mb), source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
            cwd=self.scratch,
            start_new_session=True,
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.jobs, self.answers = self.process.stdin, self.process.stdout
        self.pending = b""
        self.nonce = ""
        self.broken = False
        self.deadline = time.monotonic() + _START_S
        try:
            self.layers: dict[str, str] = self._greeting()["layers"]
        except BaseException:
            self.end()
            raise

    def _greeting(self) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            while selector.select(max(0.0, self.deadline - time.monotonic())):
                if (answer := self._read()) is not None:
                    return answer[0]
                if self.broken:
                    break
        self.errors.seek(0)
        said = self.errors.read().decode("utf-8", "replace").strip()[-2000:]
        raise RuntimeError(f"a sandbox worker did not start: {said or 'no message'}")

    def send(self, job: Job, timeout_s: float) -> None:
        """Hand a job over; the worker must be idle."""
        self.nonce = secrets.token_hex(16)
        message = {
            "code": job.code,
            "calls": job.calls,
            "stdin": job.stdin,
            "timeout_s": timeout_s,
            "call_timeout_s": job.call_timeout_s,
            "restarts": job.restarts,
            "nonce": self.nonce,
        }
        self.deadline = time.monotonic() + timeout_s * _WALL_PER_CPU + _GRACE_S
        body = json.dumps(message).encode()
        try:
            data = memoryview(len(body).to_bytes(4) + body)
            while data:
                data = data[self.jobs.write(data) or 0 :]
        except BrokenPipeError:  # it shows when the answer is read
            pass

    def receive(self, job: Job) -> Outcome | None:
        """Read what has come; None while the answer is incomplete."""
        answer = self._read()
        if answer is not None:
            return read_outcome(job, self.nonce, answer[0]["segments"], answer[1])
        return lost(job, "the sandbox's worker died") if self.broken else None

    def _read(self) -> tuple[dict[str, Any], bytes] | None:
        chunk = os.read(self.answers.fileno(), 1 << 20)
        self.pending += chunk
        self.broken = not chunk or len(self.pending) > _MAX_ANSWER
        if len(self.pending) < 8:
            return None
        header, body = struct.unpack_from("=II", self.pending)
        if len(self.pending) < 8 + header + body:
            return None
        told = json.loads(self.pending[8 : 8 + header])
        content, self.pending = self.pending[8 + header :], b""
        return told, content

    def end(self) -> None:
        """Kill the worker; the kernel ends everything behind it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.jobs.close()
        self.answers.close()
        self.errors.close()
        self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)
