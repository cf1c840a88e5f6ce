"""Kill a sweep of six runs with SIGKILL, repeat the command, compare the tables.

    python benchmarks/reliability/killed_sweep.py [--path FILE] [--quick]

Two losses by three seeds of `model=tiny`, two epochs, on the students' file, or on
`experiment=tasks` without it. When two runs are finished and a third is in its second epoch, kill

- a sequential sweep;
- a sweep of two joblib workers, all processes at once;
- the same sweep, only its parent process.

After the second command the finished runs must be unchanged, the interrupted ones must have resumed
from their checkpoints, and the tables must equal those of an undisturbed sweep to the last digit,
except for times. All runs use one thread, because sums over several threads differ.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from en2py.training.callbacks.throughput import TIMES

ROOT = Path(__file__).resolve().parents[2]
N_RUNS, DONE = 6, 2
AXES = ("loss=plain,smoothed", "seed=1,2,3")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
WAYS: dict[str, tuple[tuple[str, ...], bool]] = {  # launcher overrides, kill the group
    "one after another": ((), True),
    "joblib, all processes": (JOBLIB, True),
    "joblib, the first process alone": (JOBLIB, False),
}
_TIMES = ("seconds", "test_seconds", *TIMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--path", help="the students' file; without it experiment=tasks")
    parser.add_argument("--quick", action="store_true", help="few steps per epoch")
    options = parser.parse_args()
    print(json.dumps(measure(options.quick, options.path), indent=1))


def measure(quick: bool = False, path: str | None = None) -> dict[str, Any]:
    """Return, for each way to kill, the state at the kill and after the repeated command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = _words(folder, quick, path)
        started = time.monotonic()
        sweep = start(folder / "whole", *words)
        _must_be_well(sweep.wait(), folder / "whole")
        seconds = round(time.monotonic() - started)
        ways = {
            way: _killed(folder, way, [*words, *launcher], group)
            for way, (launcher, group) in WAYS.items()
        }
    return {"runs": N_RUNS, "undisturbed, s": seconds, **ways}


def _words(folder: Path, quick: bool, path: str | None) -> list[str]:
    data = ["experiment=tasks", "data.source.n_pairs=900", "split=group"]
    if path:
        data = ["data=english_python", f"data.path={path}"]
    words = [*data, "model=tiny", "trainer.max_epochs=2", "callbacks.samples=null", "logger=csv",
             f"cache={folder / 'cache'}"]  # fmt: skip
    if quick:
        words += ["++trainer.limit_train_batches=10", "decoding.max_len=16", "behaviour=false",
                  "checkpoints.every_n_steps=1"]  # fmt: skip
    return [*words, *AXES]


def start(output: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a sweep in a new process group; its log is stored next to its output."""
    log = output.with_suffix(".log").open("ab")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "-m", *words, f"output={output}"],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _killed(folder: Path, way: str, words: list[str], group: bool) -> dict[str, Any]:
    output = folder / re.sub(r"\W+", "_", way)
    study = output / "adhoc"
    started = time.monotonic()
    first = start(output, *words)
    while first.poll() is None and not _in_the_middle(study):
        time.sleep(0.02)
    if first.poll() is not None:
        raise RuntimeError(f"{way}: over before it could be killed")
    if group:
        os.killpg(first.pid, signal.SIGKILL)
    else:
        first.kill()
    first.wait()
    until = time.monotonic() - started
    finished = {run: _sign(run / "result.json") for run in _runs(study) if _is_finished(run)}
    begun = [run for run in _runs(study) if run not in finished]
    before = output.with_suffix(".log").stat().st_size

    started = time.monotonic()
    _must_be_well(start(output, *words).wait(), output)
    printed = output.with_suffix(".log").read_bytes()[before:].decode(errors="replace")
    whole, runs = folder / "whole" / "adhoc", _runs(study)
    return {
        "finished at the kill": len(finished),
        "interrupted": len(begun),
        "trained again although finished": sum(
            _sign(run / "result.json") != sign for run, sign in finished.items()
        ),
        "resumed from step": re.findall(r"resuming from .*?\(step ([\d,]+)\)", printed),
        "tables that differ": [
            name
            for name in ("summary.csv", "runs.csv", *(f"{run.name}/metrics.csv" for run in runs))
            if _table(study / name) != _table(whole / name)
        ],
        "leftovers": len(list(output.rglob(".*.tmp"))),
        "until the kill, s": round(until),
        "the same command again, s": round(time.monotonic() - started),
    }


def _runs(study: Path) -> list[Path]:
    return sorted(path.parent for path in study.glob("*/config.yaml"))


def _is_finished(run: Path) -> bool:
    return (run / "result.json").exists()


def _in_the_middle(study: Path) -> bool:
    """Return True if at least two runs are finished and another one has finished an epoch."""
    runs = _runs(study)
    return sum(map(_is_finished, runs)) >= DONE and any(
        (run / "checkpoints" / "best.ckpt").exists() and not (run / "curves.png").exists()
        for run in runs
        if not _is_finished(run)
    )


def _sign(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mtime_ns


def _table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table without times."""
    with path.open(newline="") as file:
        return [
            {key: cell for key, cell in row.items() if not key.endswith(_TIMES)}
            for row in csv.DictReader(file)
        ]


def _must_be_well(code: int, output: Path) -> None:
    if code:
        printed = output.with_suffix(".log").read_text(errors="replace")
        raise RuntimeError(f"{output.name}: exit code {code}\n{printed[-3000:]}")


if __name__ == "__main__":
    main()
