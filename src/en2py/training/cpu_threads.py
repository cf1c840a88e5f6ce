"""Warn where other programs use the cores that torch has a thread for each of."""

import logging
import os
import time
from pathlib import Path

import torch

log = logging.getLogger(__name__)

_LOADS = Path("/proc/loadavg")  # Linux; its fourth field has the tasks that run or wait for a core
_SAMPLES, _SECONDS = 6, 0.05  # apart; programs that run for a moment do not count


def warn_of_busy_cores(device: torch.device) -> None:
    """Warn if a step's threads would wait for each other, because there is no core for each.

    Two runs at once with two threads each on two cores were four times slower than with one thread
    each (docs/scaling.md). Other devices than CPUs need few threads.
    """
    n_threads, n_cores = torch.get_num_threads(), os.cpu_count() or 1
    if device.type != "cpu" or n_threads == 1 or not _LOADS.exists():
        return
    n_others = n_cores
    for i in range(_SAMPLES):
        time.sleep(_SECONDS if i else 0)
        n_others = min(n_others, _n_running() - 1)
        if n_others + n_threads <= n_cores:
            return
    log.warning(
        f"other programs keep {n_others} of {n_cores} cores busy, and this run has {n_threads} "
        f"threads, which wait for each other: OMP_NUM_THREADS={max(1, n_cores - n_others)} in "
        "front of the command makes it faster, up to four times"
    )


def _n_running() -> int:
    return int(_LOADS.read_text().split()[3].partition("/")[0])
