"""Send each of three signals at random times, resume, compare bit for bit.

A script named `scontrol` that logs its arguments simulates SLURM.
"""

import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from runs import finish, start, state, wait, write_pairs

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}


def _play_slurm(folder: Path) -> Path:
    requests = folder / "requeued"
    program = folder / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {requests}\n')
    program.chmod(0o755)
    os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["SLURM_JOB_ID"] = "7"
    return requests


def _ask(number: int, process: int, seconds: float) -> tuple[int, float]:
    """Send a signal after some time; return the exit code and the seconds until exit."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.002)
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), 0.0
    sent = time.monotonic()
    os.kill(process, number)
    return wait(process), time.monotonic() - sent


def measure(quick: bool = False) -> dict[str, Any]:
    """Return, for each signal, exit codes, seconds until exit, and unequal runs."""
    times, chance, found = 2 if quick else 10, random.Random(1), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        words = ("checkpoints.every_n_steps=null",)  # within an epoch only the signal saves
        before = time.monotonic()
        expected = state(finish(folder, *words, out="whole"))
        length = time.monotonic() - before
        requests = _play_slurm(folder)
        for number, code in CODES.items():
            codes, seconds, unequal = [], [], []
            for attempt in range(times):
                out = f"{number.name}{attempt}"
                process = start(folder, *words, out=out)
                ended, took = _ask(number, process, chance.uniform(0.05, 0.9) * length)
                codes.append(ended)
                seconds.append(took)
                if state(finish(folder, *words, out=out)) != expected:
                    unequal.append(out)
            in_time = sum(took > 0 for took in seconds)
            requeued = len(requests.read_text().splitlines()) if requests.exists() else 0
            requests.unlink(missing_ok=True)
            found[number.name] = {
                "sent": in_time,
                "other_codes": [c for c, took in zip(codes, seconds, strict=True)
                                if took and c != code],
                "most_seconds": round(max(seconds), 2),
                "asked_for_another_turn": requeued,
                "unequal_ends": unequal,
            }  # fmt: skip
    return found
