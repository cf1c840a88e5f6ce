"""Measure the same runs on one machine in several ways.

Four runs (two losses, two seeds) of a small model with a warm cache: one after another in one
process, two at once by joblib, on a local Ray cluster of two workers and on a local Dask cluster of
two workers. And one run in one process and in two (DDP, each with half of the batch and one
thread). All are run once, in this order.

    python benchmarks/scaling.py [--json FILE]
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from sweep import command

AXES = ("-m", "loss=plain,smoothed", "seed=1,2")
LAUNCHER = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
SWEEPS: dict[str, tuple[str, ...]] = {
    "4 runs, one after another": AXES,
    "4 runs, 2 at once (joblib)": (*AXES, *LAUNCHER),
    "4 runs, Ray, 2 workers": (*AXES, *LAUNCHER, "hydra.launcher.backend=ray"),
    "4 runs, Dask, 2 workers": (*AXES, *LAUNCHER, "hydra.launcher.backend=dask"),
}
RUNS: dict[str, tuple[str, ...]] = {
    "1 run, 1 process": ("batch.max_tokens=1024",),
    "1 run, DDP, 2 processes": ("trainer=ddp", "trainer.devices=2", "batch.max_tokens=512"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="output file")
    parser.add_argument("--quick", action="store_true", help="2 runs of one epoch of 20 steps")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fixed = [
            *("experiment=tasks", "data.source.n_pairs=900", "model=tiny", "logger=csv"),
            *("decoding.max_len=32", "callbacks.samples=null", f"cache={folder / 'cache'}"),
            *("trainer.max_epochs=3", "trainer.accelerator=cpu"),
        ]
        if options.quick:
            fixed += ["+trainer.limit_train_batches=20", "data.source.n_pairs=300"]
            fixed = [w.replace("max_epochs=3", "max_epochs=1") for w in fixed]
            fixed = [w for w in fixed if w != "data.source.n_pairs=900"]
        command(*fixed, f"output={folder / 'warm'}")
        for i, (label, words) in enumerate({**SWEEPS, **RUNS}.items()):
            if options.quick:
                words = tuple(word for word in words if not word.startswith("loss="))
                label = label.replace("4 runs", "2 runs")
            seconds, _ = command(*words, *fixed, f"output={folder / str(i)}")
            figures[label] = {"s": round(seconds, 1), "load": round(os.getloadavg()[0], 1)}
            print(label, figures[label], flush=True)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
