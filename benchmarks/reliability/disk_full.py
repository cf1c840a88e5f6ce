"""Train on small tmpfs disks until they are full; needs the right to mount them."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from runs import run_folder, start, wait, write_pairs

from en2py.training.checkpoints import is_valid


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the messages for disks of several sizes, and the broken files."""
    results: dict[str, Any] = {}
    for kib in (1500, 2500) if quick else range(700, 4000, 300):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_pairs(folder)
            disk = folder / "out"
            disk.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)]
            if subprocess.run(mount, capture_output=True).returncode:
                return {"skipped": "mounting a tmpfs is not permitted here"}
            try:
                code = wait(start(folder, "model.d_model=64", "checkpoints.keep_every_n_epochs=1"))
                run = run_folder(folder)
                message = (folder / "log").read_text().strip().splitlines()[-1]
                files = list((run / "checkpoints").glob("*.ckpt"))
                results[f"{kib} KiB"] = {
                    "code": code,
                    "message": message.replace(str(run), "RUN") if code else "",
                    "whole_checkpoints": sum(map(is_valid, files)),
                    "broken": [f.name for f in files if not is_valid(f)],
                    "leftovers": [f.name for f in run.rglob(".*.tmp")],
                }
            finally:
                subprocess.run(["umount", str(disk)], check=True)
    return results
