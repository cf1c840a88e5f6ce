"""Start eight runs at once on an empty cache; then again, killing the first cache builder.

Each run has its own seed. Checked afterwards: exit codes, one folder per run, one cache entry built
once, no truncated file, no temporary file.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the results of eight starts, and of eight whose cache builder was killed."""
    found = {}
    for name, killed in (("none was killed", False), ("the builder was killed", True)):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = starts(Path(folder), 3 if quick else 8, killed)
    return found


def starts(folder: Path, n: int, killed: bool) -> dict[str, Any]:
    cache, output = folder / "cache", folder / "outputs"
    settings = ["experiment=tasks", "data.source.n_pairs=900", "trainer=smoke", "logger=csv",
                f"cache={cache}", f"output={output}", "processes=1"]  # fmt: skip
    began = time.perf_counter()
    runs = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *settings, f"seed={seed}"],
            stdout=(folder / f"{seed}.out").open("wb"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for seed in range(1, n + 1)
    ]
    started = time.perf_counter() - began
    if killed:
        runs[builder(cache, runs)].send_signal(signal.SIGKILL)
    codes = [run.wait() for run in runs]
    entries = sorted(cache.glob("data-*.json"))
    outputs = [(folder / f"{seed}.out").read_text(errors="replace") for seed in range(1, n + 1)]
    record = {
        "runs": n,
        "seconds to start": round(started, 2),
        "exit codes": codes,
        "folders": len(list((output / "adhoc").glob("tasks-*"))),
        "results": len(list((output / "adhoc").glob("*/result.json"))),
        "cache entries": len(entries),
        "runs that took the data from the cache": sum("from the cache" in text for text in outputs),
        "temporary files left": len(list(folder.rglob(".*.tmp"))),
        "seconds": round(time.perf_counter() - began, 1),
    }
    assert sum(code == 0 for code in codes) == n - killed, outputs
    assert record["cache entries"] == 1 and record["temporary files left"] == 0, record
    assert record["results"] == n - killed, record
    return record


def builder(cache: Path, runs: list[subprocess.Popen[bytes]]) -> int:
    """Wait until a run holds the lock of the cache entry; return its index in the list."""
    while True:
        for lock in cache.glob("data-*.lock"):
            inode = lock.stat().st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                fields = line.split()
                if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                    holders = [i for i, run in enumerate(runs) if run.pid == int(fields[4])]
                    if holders:
                        return holders[0]
        if all(run.poll() is not None for run in runs):
            raise RuntimeError("no run ever had the lock of the cache entry")
        time.sleep(0.02)
