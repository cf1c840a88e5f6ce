"""Measure a parallel sweep of 8 runs against the same 8 commands in sequence.

Two losses by four seeds of `model=tiny`, three epochs, with a warm cache. Measured are

- the sweep with `hydra/launcher=joblib`, one run per core;
- the same 8 commands in sequence, each in a new process with all cores;
- the finished sweep again;
- the overhead between two runs of one process.

    python benchmarks/sweep.py --english-python FILE [--quick] [--json FILE]
"""

import argparse
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOSSES = ("plain", "smoothed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--english-python", help="the students' file; without it experiment=tasks")
    parser.add_argument("--quick", action="store_true", help="4 runs of one epoch of a few steps")
    parser.add_argument("--seeds", type=int, default=4, help="of each loss")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="output file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options, Path(folder))
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure each item of the module docstring once, in this order."""
    losses, seeds = LOSSES, range(1, (2 if options.quick else options.seeds) + 1)
    fixed = fixed_words(options, folder)
    axes = (f"loss={','.join(losses)}", f"seed={','.join(map(str, seeds))}")
    # Fills the cache and warms up the disk.
    warm = [word for word in fixed if "limit_train_batches" not in word]
    command(*warm, "seed=99", "++trainer.limit_train_batches=1", f"output={folder / 'warm'}")
    launcher = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={options.jobs}")
    side = [*fixed, f"output={folder / 'side'}"]
    sweep_s, _ = command("-m", *axes, *launcher, *side)
    again_s, _ = command("-m", *axes, *launcher, *side)
    one = [*fixed, f"output={folder / 'one'}"]
    fresh = [
        command(f"loss={loss}", f"seed={seed}", *one)[0]
        for loss, seed in itertools.product(losses, seeds)
    ]
    same_results(folder)
    row_s, output = command("-m", f"loss={losses[0]}", f"seed={seeds[0]},{seeds[1]}", *fixed,
                          f"output={folder / 'row'}")  # fmt: skip
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load before": os.getloadavg()[1],
        "runs": len(losses) * len(seeds),
        "at once": options.jobs,
        "sweep, s": round(sweep_s, 1),
        "fresh processes, s": round(sum(fresh), 1),
        "ratio": round(sum(fresh) / sweep_s, 2),
        "finished sweep again, s": round(again_s, 1),
        "between two runs, s": round(between(folder / "row"), 2),
        "estimate printed": re.findall(r"about (.+?) left", output),
        "two runs in a row, s": round(row_s, 1),
    }


def fixed_words(options: argparse.Namespace, folder: Path) -> list[str]:
    data = ["experiment=tasks", "data.source.n_pairs=900"]
    if options.english_python:
        data = ["data=english_python", f"data.path={options.english_python}"]
    words = [*data, "model=tiny", "trainer.max_epochs=3", "logger=csv", f"cache={folder / 'cache'}"]
    if options.quick:
        words += ["decoding.max_len=16", "++trainer.limit_train_batches=5"]
        words = [w.replace("max_epochs=3", "max_epochs=1") for w in words]
    return words


def command(*words: str) -> tuple[float, str]:
    """Run `train.py` in a new process; return its wall time in seconds and its output."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started, done.stdout


def same_results(folder: Path) -> None:
    """Assert that a run has the same results under each launcher, up to rounding.

    The number of threads changes the order of sums, so the last bits differ.
    """
    for path in (folder / "side").glob("*/*/result.json"):
        other = folder / "one" / path.relative_to(folder / "side")
        ours, theirs = (json.loads(p.read_text())["best"]["val/nll"] for p in (path, other))
        if abs(ours - theirs) > 0.05 * theirs:
            sys.exit(f"{path.parent.name}: val/nll {ours} in the sweep, {theirs} on its own")


def between(folder: Path) -> float:
    """Return the seconds from the end of a run's test to the start of the next run's data.

    The run itself measures the time from data to the end of its test.
    """
    results = sorted(folder.glob("*/*/result.json"), key=lambda path: path.stat().st_mtime)
    first, second = (path.stat().st_mtime for path in results)
    record = json.loads(results[1].read_text())
    return second - first - record["seconds"] - record["test_seconds"]


if __name__ == "__main__":
    main()
