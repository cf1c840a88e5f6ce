"""The trusted side of the sandbox: a pool of warm workers, and the scheduling of jobs."""

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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from en2py.errors import UserError
from en2py.sandbox.protocol import (
    BUSY_FACTOR,
    WALL_PER_CPU,
    Job,
    Outcome,
    failed_outcome,
    read_outcome,
)

LEVELS = ("process", "kernel", "full")
_LAYERS = {
    "process": (),
    "kernel": ("landlock", "seccomp"),
    "full": ("landlock", "seccomp", "namespaces"),
}
_GRACE_S, _START_S = 10.0, 60.0
_MAX_ANSWER = 64_000_000
_DIED = "the sandbox's worker died"
_BOOT = "import sys; sys.path.insert(0, sys.argv[3]); \
from en2py.sandbox.worker import main; main(sys.argv[1], int(sys.argv[2]), sys.argv[3])"


class Sandbox:
    """Context manager that executes untrusted programs in isolation.

    Levels, from weakest to strongest: `process` has an own process and session, an empty
    environment, resource limits and timeouts; `kernel` adds Landlock and seccomp; `full` adds
    namespaces.

    Args:
        timeout_s: CPU seconds of one job; the wall-clock limit is four times as long, ten
            times more for a program that gets a small share of a core on a busy machine.
        memory_mb: Address space of one candidate.
        workers: Number of parallel candidates; None: one per core.
        min_level: The weakest level to accept: `process`, `kernel` or `full`; `auto`: the strongest
            that the operating system can have, `full` on Linux, `process` elsewhere.
        hash_seed: PYTHONHASHSEED of the candidates.

    Raises:
        UserError: If this machine does not support `min_level`.
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
        if min_level == "auto":
            min_level = "full" if sys.platform == "linux" else "process"
        if min_level not in LEVELS:
            known = ", ".join(("auto", *LEVELS))
            raise UserError(f"sandbox.min_level={min_level}: expected one of {known}")
        if not hasattr(os, "fork"):
            raise UserError("generated code runs on Linux and macOS only: this system has no fork")
        self.timeout_s, self.memory_mb, self.hash_seed = timeout_s, memory_mb, hash_seed
        self._pool: list[_Worker] = []
        self._stopped = False
        try:
            first = _Worker(memory_mb, hash_seed)
            self._pool.append(first)
            self.layers = first.layers
            self.level = level_of(self.layers)
            if LEVELS.index(self.level) < LEVELS.index(min_level):
                raise UserError(_missing_layers_message(self.layers, self.level, min_level))
            for _ in range((workers or _n_cores()) - 1):
                self._pool.append(_Worker(memory_mb, hash_seed))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the workers and remove their folders."""
        for worker in self._pool:
            worker.end()
        self._pool.clear()

    def describe(self) -> str:
        """Return the level and all missing layers in one sentence."""
        missing = [f"{name} ({why})" for name, why in self.layers.items() if name != "user" and why]
        rest = f"; missing: {', '.join(missing)}" if missing else ""
        return f"sandbox level {self.level}, as {self.layers['user']}{rest}"

    def run(
        self, jobs: Iterable[Job], progress: Callable[[int], object] = lambda done: None
    ) -> list[Outcome]:
        """Run jobs, each in a fresh process, and return their outcomes in order.

        The first ones run while others are generated; `progress` is called with the number of
        finished jobs. The sandbox closes on an exception: pending answers could be assigned to a
        wrong job.

        Raises:
            RuntimeError: If the sandbox is closed, or a worker cannot be restarted.
        """
        if not self._pool:
            raise RuntimeError("this sandbox is closed; open a new one")
        outcomes, self._idle = list[Outcome](), [*self._pool]
        try:
            with ThreadPoolExecutor(len(self._pool)) as threads:  # each waits for one worker
                try:
                    for outcome in threads.map(self._outcome, jobs):
                        outcomes.append(outcome)
                        progress(len(outcomes))
                except BaseException:
                    self._stopped = True
                    for worker in self._pool:
                        worker.kill()  # so that no thread waits any longer
                    raise
        except BaseException:
            self.close()
            raise
        return outcomes

    def _outcome(self, job: Job) -> Outcome:
        """Run a job; again if its worker died, which the system may have killed to free memory."""
        worker, tries = self._idle.pop(), 2
        while tries:
            outcome = worker.run(job, job.timeout_s or self.timeout_s)
            if self._stopped:
                raise RuntimeError("this sandbox is closed")
            tries = tries - 1 if worker.broken == _DIED else 0
            if worker.broken:
                place = self._pool.index(worker)
                worker.end()
                worker = self._pool[place] = _Worker(self.memory_mb, self.hash_seed)
        self._idle.append(worker)
        return outcome


def _n_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def level_of(layers: dict[str, str]) -> str:
    """Return the strongest level that has all its layers."""
    return [level for level in LEVELS if not any(layers[name] for name in _LAYERS[level])][-1]


def _missing_layers_message(layers: dict[str, str], level: str, min_level: str) -> str:
    missing = [f"{name} ({layers[name]})" for name in _LAYERS[min_level] if layers[name]]
    return (
        f"the sandbox reaches level {level!r} here, below {min_level!r}: "
        f"no {', no '.join(missing)}; "
        f"accept this level by sandbox.min_level={level}, or see docs/sandbox.md"
    )


class _Worker:
    """The trusted end of one worker process."""

    def __init__(self, memory_mb: int, hash_seed: int) -> None:
        self.scratch = tempfile.mkdtemp(prefix="en2py-sandbox-")
        self.errors: IO[bytes] = tempfile.TemporaryFile()
        environment = {
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "MALLOC_ARENA_MAX": "1",  # otherwise each thread takes 64 MB of address space
            "HOME": self.scratch,
            "TZ": "UTC",
        }
        if libraries := os.environ.get("LD_LIBRARY_PATH"):  # some builds of Python need it
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
        self.broken = ""
        try:
            if (answer := self._answer(_START_S)) is None:
                self.errors.seek(0)
                errors = self.errors.read().decode("utf-8", "replace").strip()[-2000:]
                raise RuntimeError(f"a sandbox worker did not start: {errors or 'no message'}")
            self.layers: dict[str, str] = answer[0]["layers"]
        except BaseException:
            self.end()
            raise

    def run(self, job: Job, timeout_s: float) -> Outcome:
        """Run a job; `broken` is whether another worker has to replace this one afterwards."""
        nonce = secrets.token_hex(16)
        message = {
            "code": job.code,
            "calls": job.calls,
            "stdin": job.stdin,
            "timeout_s": timeout_s,
            "call_timeout_s": job.call_timeout_s,
            "restarts": job.restarts,
            "nonce": nonce,
        }
        body = json.dumps(message).encode()
        with suppress(BrokenPipeError):  # reported by the answer
            data = memoryview(len(body).to_bytes(4) + body)
            while data:
                data = data[self.jobs.write(data) or 0 :]
        answer = self._answer(timeout_s * WALL_PER_CPU * BUSY_FACTOR + _GRACE_S)
        if answer is None:
            return failed_outcome(job, self.broken)
        return read_outcome(job, nonce, answer[0]["segments"], answer[1])

    def _answer(self, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Return the next message; None if there is none, for the reason in `broken`."""
        received, deadline = b"", time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                chunk = os.read(self.answers.fileno(), 1 << 20)
                received += chunk
                if not chunk or len(received) > _MAX_ANSWER:
                    self.broken = "too large an answer" if chunk else _DIED
                    return None
                if len(received) >= 8:
                    header, body = struct.unpack_from("=II", received)
                    if len(received) >= 8 + header + body:
                        return json.loads(received[8 : 8 + header]), received[8 + header :]
        self.broken = "timeout"
        return None

    def kill(self) -> None:
        """Kill the worker; the kernel kills its descendants."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the worker, and remove its folder."""
        self.kill()
        self.jobs.close()
        self.answers.close()
        self.errors.close()
        self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)
