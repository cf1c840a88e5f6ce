"""Compare the time of a program in the sandbox with the start of a Python interpreter."""

import argparse
import statistics
import subprocess
import sys
import time

from en2py.sandbox import Job, Sandbox

PROGRAM = "def add(a, b):\n    return a + b\n"
CANDIDATES = 50  # per round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    one_call = Job(PROGRAM, ("add(1, 2)",))
    forty_calls = Job(PROGRAM, tuple(f"add({number}, 2)" for number in range(40)))
    took: dict[str, list[float]] = {}

    def record(name: str, n: int, began: float) -> None:
        took.setdefault(name, []).append((time.perf_counter() - began) / n * 1000)

    settings = {"timeout_s": 5.0, "memory_mb": 512, "min_level": "process"}
    began = time.perf_counter()
    with Sandbox(workers=1, **settings) as single, Sandbox(workers=None, **settings) as pool:
        record("opening both sandboxes", 1, began)
        print(single.describe(), f"({len(pool._pool)} workers in the pool)")
        for _ in range(rounds):
            for name, options in {
                "bare interpreter": (),
                "bare interpreter, -S -I": ("-S", "-I"),
            }.items():
                began = time.perf_counter()
                for _ in range(10):
                    subprocess.run([sys.executable, *options, "-c", "pass"], check=True)
                record(name, 10, began)
            for name, sandbox, job in (
                ("candidate, 1 call, 1 worker", single, one_call),
                ("candidate, 40 calls, 1 worker", single, forty_calls),
                ("candidate, 1 call, all cores", pool, one_call),
            ):
                began = time.perf_counter()
                outcomes = sandbox.run([job] * CANDIDATES)
                record(name, CANDIDATES, began)
                assert all(outcome.finished for outcome in outcomes)
    bare = statistics.median(took["bare interpreter"])
    for name, times in took.items():
        middle = statistics.median(times)
        print(f"{name:32s} {middle:7.2f} ms  {middle / bare:5.2f} x  (worst {max(times):.2f} ms)")


if __name__ == "__main__":
    main()
