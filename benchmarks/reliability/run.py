"""Provoke every failure and write the results: `python benchmarks/reliability/run.py [--quick]`.

Takes about an hour on two cores. `lower_bounds.py` is a separate command.
"""

import json
import platform
import sys
import time
from pathlib import Path

import concurrent_starts
import damage
import disk_full
import every_step
import hostile_data
import killed_sweep
import kills
import logger_trouble
import mistakes
import preemption
import same_run

PARTS = (
    mistakes, same_run, every_step, preemption, damage, disk_full, logger_trouble,
    concurrent_starts, hostile_data, killed_sweep, kills,
)  # fmt: skip


def main() -> None:
    quick = "--quick" in sys.argv
    named = [word for word in sys.argv[1:] if not word.startswith("-")]
    target = Path(__file__).with_name("results.json")
    known = json.loads(target.read_text()) if target.exists() else {}
    for part in PARTS:
        if named and part.__name__ not in named:
            continue
        started = time.monotonic()
        found = part.measure(quick)
        seconds = round(time.monotonic() - started)
        known[part.__name__] = {"quick": quick, "seconds": seconds, **found}
        print(part.__name__, json.dumps(known[part.__name__], indent=1), flush=True)
        known["machine"] = {"python": platform.python_version(), "system": platform.system()}
        target.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
