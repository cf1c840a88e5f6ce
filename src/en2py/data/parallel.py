"""Apply a function to many items in several processes, with a limit of processor time per item.

The limit is processor time, so the load of the machine does not change the result. A timer stops
Python code that exceeds it. A loop inside a C library, which no timer stops, is killed by the
system at about twice the limit, and another process replaces the killed one. In both cases the
result of the item is `Failed`.
"""

import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 64  # items sent to a process at once: a quarter of a second of autopep8
MIN_PER_PROCESS = 200  # fewer items take less time than starting another process
SECONDS_PER_ITEM = 10.0  # default limit of processor time for one item
MEMORY = 4 << 30  # bytes of address space of a process; the libraries take half of one
TRIES = 2  # of an item whose process died: it may have been killed for another reason
_START = "import sys; from en2py.data.parallel import serve; serve(int(sys.argv[1]))"


@dataclass(frozen=True)
class Failed:
    """The result of an item that was stopped or that killed its process."""

    reason: str


class _OutOfTime(BaseException):
    """Not an `Exception`, since libraries catch those."""


def with_cpu_limit(seconds: float, function: Callable[[T], Any], item: T) -> Any:
    """Call a function and stop it after `seconds` of processor time.

    The timer needs the main thread; in another thread there is no limit.

    Returns:
        The result of the function, `Failed` if it was stopped or ran out of memory.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(item)

    def stop(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    try:
        # The timer repeats, because a bare `except:` may have caught the first exception.
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
        try:
            return function(item)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _OutOfTime:
        signal.setitimer(signal.ITIMER_PROF, 0)
        return Failed(_over(seconds))
    except MemoryError:
        return Failed("out of memory")
    finally:
        signal.signal(signal.SIGPROF, before or signal.SIG_DFL)


def _over(seconds: float) -> str:
    return f"took over {seconds:g} s"


class ProcessPool:
    """A pool that starts its processes at the first large job; use it in a `with` statement.

    Not `concurrent.futures`: there the death of one process breaks the pool, and every process
    imports the main program again, which costs more than cleaning many pairs.

    Args:
        processes: Number of processes; None: one per core that this process may use.
        seconds: Limit of processor time for one item.
    """

    def __init__(self, processes: int | None, seconds: float) -> None:
        self.processes, self.seconds = processes or n_cores(), seconds
        self._pool: list[_Process] = []
        self._stopped = False

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._pool:
            process.close()
        self._pool.clear()

    def map(
        self,
        function: Callable[[T], Any],
        items: Sequence[T],
        *,
        least: int = MIN_PER_PROCESS,
        chunk: int = CHUNK,
        isolated: bool = False,
    ) -> Iterator[Any]:
        """Yield `function(item)` for each item, in order, or `Failed`.

        Args:
            function: Picklable if there are several processes: a function of a module, or a
                `partial` of one.
            items: Picklable too.
            least: Items per process; fewer than two times as many are processed in this process.
            chunk: Items sent at once.
            isolated: Use another process even for few items, because some may crash it.
        """
        n = min(self.processes, len(items) // least)
        if n < 2 and not isolated:
            yield from (with_cpu_limit(self.seconds, function, item) for item in items)
            return
        n, self._stopped = max(n, 1), False
        self._pool += [_Process() for _ in range(n - len(self._pool))]
        self._idle = [*self._pool]
        chunks = [items[i : i + chunk] for i in range(0, len(items), chunk)]
        try:
            with ThreadPoolExecutor(n) as threads:  # each waits for one process
                try:
                    for results in threads.map(partial(self._results, function), chunks):
                        yield from results
                except BaseException:  # also if the caller wants no more results
                    self._stopped = True
                    for process in self._pool:
                        process.kill()  # so that no thread waits any longer
                    raise
        finally:
            if self._stopped:
                self.__exit__()

    def _results(self, function: Callable[[T], Any], items: Sequence[T]) -> list[Any]:
        """Return the results of a chunk; a process that dies is replaced by another one."""
        process, results, deaths = self._idle.pop(), list[Any](), 0
        process.send((function, self.seconds, items))
        while len(results) < len(items):
            try:
                results.append(process.receive())
                deaths = 0
            except (EOFError, ConnectionError):
                reason = self._cause_of_death(process)
                deaths += 1
                if reason.startswith("took") or deaths == TRIES:
                    results.append(Failed(reason))
                    deaths = 0
                place = self._pool.index(process)
                process = self._pool[place] = _Process()
                process.send((function, self.seconds, items[len(results) :]))
        self._idle.append(process)
        return results

    def _cause_of_death(self, process: "_Process") -> str:
        code = process.close()
        if self._stopped:
            raise RuntimeError("the pool is stopped")
        if code > 0:  # no signal: Python itself exited, for example because an import failed
            raise RuntimeError(f"a worker process exited with code {code}; see stderr")
        return _over(self.seconds) if code == -signal.SIGXCPU else f"its process died ({code})"


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Process:
    """A worker process and the connection to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # -P: modules in the current folder must not replace those of the libraries.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        self._connection = Connection(ours.detach())

    def send(self, job: object) -> None:
        """Send a job; if the process is dead, `receive` reports it."""
        with suppress(ConnectionError):
            self._connection.send(job)

    def receive(self) -> Any:
        """Return the result of the next item.

        Raises:
            EOFError: If the process is dead; or ConnectionError.
            Exception: The exception of the function in that process.
        """
        result = self._connection.recv()
        if isinstance(result, Exception):
            raise result
        return result

    def kill(self) -> None:
        """Kill the process; `receive` reports it."""
        self._process.kill()

    def close(self) -> int:
        """End the process and return its exit code."""
        self._connection.close()
        if self._process.poll() is None:
            try:
                self._process.wait(0.01)  # one that is already exiting keeps its own exit code
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()


def serve(connection_fd: int) -> None:
    """Run jobs in a worker process until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the main process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_AS, MEMORY)
    connection = Connection(connection_fd)
    with suppress(EOFError, ConnectionError):
        while True:
            function, seconds, items = connection.recv()
            for item in items:
                connection.send(result := _result(function, seconds, item))
                if isinstance(result, Exception):
                    break


def _result(function: Callable[[Any], Any], seconds: float, item: Any) -> Any:
    """Return the result of a function, or its exception."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + 2 * seconds) + 1)
    try:
        return with_cpu_limit(seconds, function, item)
    except Exception as error:
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        return error


def _lower(limit: int, value: int) -> None:
    """Lower a resource limit of this process, if the system has such a limit."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(limit, (value, hard))
