"""Processes that do the same to many items: results in order, and no item without an end.

An item has a budget of processor time, so a busy machine changes nothing. Python code that passes
it is stopped by a timer. What no timer stops, a loop inside a C library, the system kills at about
twice the budget; another process takes its place. The item comes back as `Lost` either way.
"""

import math
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 64  # items handed to a process at a time: a quarter of a second of autopep8
MIN_PER_PROCESS = 200  # fewer are done before another process has started
SECONDS = 10.0  # of processor time for one item, where nobody says otherwise
MEMORY = 4 << 30  # bytes of address space of a process; the libraries take half of one
TRIES = 2  # for an item whose process died: somebody else may have killed it
_START = "import sys; from en2py.data.parallel import serve; serve(*map(int, sys.argv[1:]))"


@dataclass(frozen=True)
class Lost:
    """What comes back for an item that was given up, and why."""

    reason: str


class _OutOfTime(BaseException):
    """No `Exception`, since libraries catch those."""


def within(seconds: float, function: Callable[[T], Any], item: T) -> Any:
    """Call a function, but stop it after so much processor time.

    The timer needs the main thread; in another one the function takes as long as it takes.

    Returns:
        What the function returns, `Lost` if it was stopped or ran out of memory.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(item)

    def stop(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    try:
        # It rings again, for a bare `except:` may have swallowed the first.
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
        try:
            return function(item)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _OutOfTime:
        signal.setitimer(signal.ITIMER_PROF, 0)
        return Lost(_over(seconds))
    except MemoryError:
        return Lost("out of memory")
    finally:
        signal.signal(signal.SIGPROF, before or signal.SIG_DFL)


def _over(seconds: float) -> str:
    return f"took over {seconds:g} s"


class Workers:
    """A pool that starts its processes at the first large job; use it in a `with`.

    Not `concurrent.futures`: there the death of one process ends the pool, and every process
    imports the main program again, which here costs more than the work of many pairs.

    Args:
        processes: How many.
        seconds: Processor time for one item.
    """

    def __init__(self, processes: int, seconds: float) -> None:
        self.processes, self.seconds = processes, seconds
        self._pool: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._pool:
            worker.close()
        self._pool.clear()

    def map(
        self,
        function: Callable[[T], Any],
        items: Sequence[T],
        *,
        least: int = MIN_PER_PROCESS,
        chunk: int = CHUNK,
        apart: bool = False,
    ) -> Iterator[Any]:
        """Yield `function(item)` for each item, in order, or `Lost`.

        Args:
            function: Picklable for more than one process: a function of a module, or a `partial`.
            items: Picklable too.
            least: Items that are worth a process; fewer than two times as many are done here.
            chunk: Items handed over at a time.
            apart: Take a process of its own even for few items, because some may crash it.
        """
        n = min(self.processes, len(items) // least)
        if n < 2 and not apart:
            yield from (within(self.seconds, function, item) for item in items)
            return
        while len(self._pool) < max(n, 1):
            self._pool.append(_Worker())
        yield from self._spread(function, items, chunk)

    def _spread(
        self, function: Callable[[T], Any], items: Sequence[T], chunk: int
    ) -> Iterator[Any]:
        places = range(len(items))
        waiting = deque(places[i : i + chunk] for i in range(0, len(items), chunk))
        idle, busy = list(self._pool), dict[Connection, tuple[_Worker, range]]()
        done, deaths, first = dict[int, Any](), Counter[int](), 0
        while first < len(items):
            while idle and waiting:
                worker, taken = idle.pop(), waiting.popleft()
                worker.send((function, self.seconds, [items[i] for i in taken]))
                busy[worker.connection] = (worker, taken)
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                worker, taken = busy.pop(ready)
                results = worker.results()
                if results is None:
                    at = taken[min(worker.at(), len(taken) - 1)]
                    reason = self._death(worker)
                    deaths[at] += 1
                    if reason.startswith("took") or deaths[at] == TRIES:
                        done[at] = Lost(reason)
                    else:
                        waiting.appendleft(range(at, at + 1))
                    rest = (range(taken.start, at), range(at + 1, taken.stop))
                    waiting.extendleft(part for part in rest if part)
                    self._pool.remove(worker)
                    worker = _Worker()
                    self._pool.append(worker)
                else:
                    done.update(zip(taken, results, strict=True))
                idle.append(worker)
            while first in done:
                yield done.pop(first)
                first += 1

    def _death(self, worker: "_Worker") -> str:
        code = worker.close()
        if code > 0:  # no signal: Python itself gave up, at the start for example
            raise RuntimeError(f"a worker process ended with code {code}; stderr says why")
        return _over(self.seconds) if code == -signal.SIGXCPU else f"its process died ({code})"


class _Worker:
    """One process and the way to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._place = tempfile.TemporaryFile()  # the number of the item that it is at
        fds = (theirs.fileno(), self._place.fileno())
        # Without the folder it was started from in its path, whatever lies there.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        self.connection = Connection(ours.detach())

    def send(self, job: object) -> None:
        """Hand a job over; that it cannot be, the next `results` says."""
        os.pwrite(self._place.fileno(), bytes(4), 0)  # not the place in the job before
        try:
            self.connection.send(job)
        except ConnectionError:
            pass

    def results(self) -> list[Any] | None:
        """Return the results of a job, None where the process is dead.

        Raises:
            Exception: What the function raised there.
        """
        try:
            found = self.connection.recv()
        except (EOFError, ConnectionError):
            return None
        if isinstance(found, BaseException):
            raise found
        assert isinstance(found, list)
        return found

    def at(self) -> int:
        """Return the number of the item that it is at, in its job."""
        return int.from_bytes(os.pread(self._place.fileno(), 4, 0), "little")

    def close(self) -> int:
        """End the process; returns its exit code."""
        self.connection.close()
        if self._process.poll() is None:
            try:
                self._process.wait(0.01)  # one that died by itself tells why
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._place.close()
        return self._process.wait()


def serve(connection_fd: int, place_fd: int) -> None:
    """Be a worker: take jobs until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other side's business
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_AS, MEMORY)
    connection = Connection(connection_fd)
    try:
        while True:
            function, seconds, items = connection.recv()
            connection.send(_do(function, seconds, items, place_fd))
    except (EOFError, ConnectionError):
        return


def _do(
    function: Callable[[Any], Any], seconds: float, items: list[Any], place_fd: int
) -> list[Any] | Exception:
    results = []
    for i, item in enumerate(items):
        os.pwrite(place_fd, i.to_bytes(4, "little"), 0)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + 2 * seconds) + 1)
        try:
            results.append(within(seconds, function, item))
        except Exception as error:
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            return error
    return results


def _lower(limit: int, value: int) -> None:
    """Set a limit of this process, as far as the machine has set none below it."""
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(limit, (value, hard))
    except (ValueError, OSError):
        pass  # a system that has no such limit
