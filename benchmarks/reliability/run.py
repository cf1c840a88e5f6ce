"""Provoke every failure and write the results to `results.json`.

Takes about an hour on two cores. `lower_bounds.py` is a separate command.
"""

import argparse
import json
import platform
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
    parts = {part.__name__: part for part in PARTS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}")
    parser.add_argument("--quick", action="store_true", help="provoke a few failures of each kind")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; parts: {', '.join(parts)}")
    target = Path(__file__).with_name("results.json")
    known = json.loads(target.read_text()) if target.exists() else {}
    for name in options.parts or parts:
        started = time.monotonic()
        found = parts[name].measure(options.quick)
        seconds = round(time.monotonic() - started)
        known[name] = {"quick": options.quick, "seconds": seconds, **found}
        print(name, json.dumps(known[name], indent=1), flush=True)
        known["machine"] = {"python": platform.python_version(), "system": platform.system()}
        target.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
