"""Handle SIGINT, SIGTERM and SIGUSR1; requeue the SLURM job."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_requeued: list[str] = []  # SLURM jobs of this process; `handle_signals` may exit twice


def exit_on_signal(number: int) -> NoReturn:
    """Exit with the code of a signal; on SIGUSR1, requeue the SLURM job first.

    Args:
        number: The signal. SLURM sends SIGUSR1 shortly before the time limit
            (`--signal=USR1@90`). After SIGTERM SLURM requeues the job itself, or it was canceled.
    """
    if number == signal.SIGUSR1:
        _requeue()
    raise SystemExit(130 if number == signal.SIGINT else 143)


def _requeue() -> None:
    """Requeue this SLURM job; do nothing outside of SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if job in _requeued:
        return
    _requeued.append(job)
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        problem = done.stderr.strip() or f"code {done.returncode}" if done.returncode else ""
    except OSError as error:
        problem = str(error)
    outcome = f"could not be requeued ({problem})" if problem else "was requeued"
    print(f"SLURM job {job} {outcome}", file=sys.stderr, flush=True)


@contextmanager
def handle_signals() -> Iterator[None]:
    """Exit at once on SIGTERM and SIGUSR1, while there is nothing to save.

    Where a library suppresses the `SystemExit` or turns it into another error (in an optional
    import, in a callback from C), the program exits at the end of the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process, received = os.getpid(), 0

    def handle(number: int, frame: Any) -> None:
        nonlocal received
        if os.getpid() != process:  # a worker process that inherited the handler
            os._exit(143)
        received = number
        exit_on_signal(number)

    earlier = {n: signal.signal(n, handle) for n in SIGNALS if n != signal.SIGINT}
    try:
        yield
    except Exception:
        if received:
            exit_on_signal(received)
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if received:
        exit_on_signal(received)


@functools.cache
def exit_with_parent(parent: int) -> None:
    """Save and exit when the parent process dies; do nothing if this process has another one."""
    if os.getppid() != parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        os._exit(143)  # joblib's worker would wait for more work

    threading.Thread(target=watch, daemon=True).start()
