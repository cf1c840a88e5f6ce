"""Signals that ask a run to leave: Ctrl-C, SIGTERM, SIGUSR1; and another turn from SLURM."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def exit_on_signal(number: int) -> NoReturn:
    """End the program with the exit code of a signal, after asking SLURM for another turn.

    Args:
        number: The signal; SIGUSR1 is what SLURM is told to send when the time is nearly up
            (`--signal=USR1@90`), so the job is queued again. On SIGTERM SLURM does that itself,
            or somebody has cancelled the job.
    """
    if number == signal.SIGUSR1:
        _requeue()
    raise SystemExit(130 if number == signal.SIGINT else 143)


_queued: list[str] = []  # what SLURM was asked for: a signal may be answered twice, see `answered`


def _requeue() -> None:
    """Put this SLURM job into the queue again; do nothing outside of SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if job in _queued:
        return
    _queued.append(job)
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        refusal = done.stderr.strip() or f"code {done.returncode}" if done.returncode else ""
    except OSError as error:
        refusal = str(error)
    told = f"could not be queued again ({refusal})" if refusal else "is queued again"
    print(f"SLURM job {job} {told}", file=sys.stderr, flush=True)


@contextmanager
def handle_signals() -> Iterator[None]:
    """Leave on SIGTERM and SIGUSR1 at once, with their exit code, while nothing is to be saved.

    A library that swallows the `SystemExit` or makes another error of it (in an import that may
    fail, in a callback from C) only puts it off until the end of the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here, came = os.getpid(), 0

    def at_once(number: int, frame: Any) -> None:
        nonlocal came
        if os.getpid() != here:  # a worker process that inherited this
            os._exit(143)
        came = number
        exit_on_signal(number)

    earlier = {n: signal.signal(n, at_once) for n in ASKING if n != signal.SIGINT}
    try:
        yield
    except Exception:
        if came:
            exit_on_signal(came)
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if came:
        exit_on_signal(came)
