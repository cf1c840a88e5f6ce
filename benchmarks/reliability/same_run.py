"""Train one config in two fresh processes with different hash seeds: equal weights and metrics."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from runs import ROOT, WORDS, run_folder, state, write_pairs


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the differences between the two runs."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_pairs(folder)
        for seed in ("1", "2"):
            words = [*WORDS, f"data.path={data}", f"output={folder / seed}",
                     f"cache={folder / f'cache{seed}'}"]  # fmt: skip
            command = [sys.executable, str(ROOT / "train.py"), *words]
            environment = {**os.environ, "PYTHONHASHSEED": seed}
            subprocess.run(command, env=environment, check=True, capture_output=True)
            found.append(state(run_folder(folder, seed)))
    return {
        "weights": [one["last.ckpt state_dict"][:16] for one in found],
        "different": [key for key in found[0] if found[0][key] != found[1][key]],
    }
