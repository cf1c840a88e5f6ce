"""Functions with faults, which test_parallel.py runs in worker processes."""

import os
import signal

from en2py.data.pairs import Pair


def square(x):
    match x:
        case 13:
            while True:  # Python code that does not end
                pass
        case 77:
            sum(range(10**12))  # C code that does not end: no Python handler is called in it
        case 100:
            os.abort()
        case 150:
            bytearray(10**12)
        case 160:
            raise ValueError("a bug")
    return x * x


def killed_once(path):
    """Kill the own process at the first call."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def slow_step(pair: Pair) -> Pair:
    while "endless" in pair.description:
        pass
    return pair
