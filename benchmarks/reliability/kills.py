"""Kill runs that save at every step, 200 times, with TMPDIR on another file system.

After each kill every file under a final name must be valid, and the next start must resume from the
newest valid checkpoint and delete temporary files.
"""

import os
import random
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from runs import finish, start, state, wait, write_pairs

from en2py.training.checkpoints import is_valid, load_checkpoint, newest_valid


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.tmp"))


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the counts of kills, broken files, wrong starts, temporary files, unequal runs."""
    kills = 20 if quick else 200
    chance = random.Random(1)
    broken, wrong, left, unequal, finished, in_writes = [], [], [], [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        before = time.monotonic()
        expected = state(finish(folder, out="whole"))
        seconds = time.monotonic() - before
        shared = Path("/dev/shm")  # a memory disk, on Linux
        elsewhere = tempfile.mkdtemp(dir=shared) if shared.is_dir() else name
        others = os.stat(elsewhere).st_dev != os.stat(name).st_dev
        done = attempt = 0
        while done < kills:
            out = f"killed{attempt}"
            newest, newest_step = None, 0
            while done < kills:
                log = folder / "log"
                log.unlink(missing_ok=True)
                number = start(folder, out=out, TMPDIR=elsewhere)
                deadline = time.monotonic() + chance.uniform(0.1, 0.6) * seconds
                ended = 0
                while not ended and time.monotonic() < deadline:
                    time.sleep(0.002)
                    ended = os.waitpid(number, os.WNOHANG)[0]
                if not ended:
                    os.kill(number, signal.SIGKILL)
                    wait(number)
                    done += 1
                printed = log.read_text()
                resumed = re.search(r"resuming from (\S+) \(step ([\d,]+)\)", printed)
                if newest is not None and "parameters:" in printed:
                    got = (resumed.group(1), resumed.group(2).replace(",", "")) if resumed else None
                    if got != (str(newest), str(newest_step)):
                        wrong.append(f"kill {done}: {got}, the newest was {newest} {newest_step}")
                runs = [f for f in (folder / out).rglob("checkpoints") if f.is_dir()]
                if ended:
                    break
                if not runs:
                    continue
                broken += [str(f) for f in runs[0].glob("*.ckpt") if not is_valid(f)]
                in_writes += bool(_leftovers(runs[0].parent))
                newest = newest_valid(runs[0])
                newest_step = load_checkpoint(newest)["global_step"] if newest else 0
            run = finish(folder, out=out)
            left += [str(f) for f in _leftovers(run)]
            finished += 1
            found = state(run)
            if found != expected:
                parts = [key for key in expected if expected[key] != found[key]]
                unequal.append(f"{out}: {', '.join(parts)}")
            attempt += 1
        if elsewhere != name:
            shutil.rmtree(elsewhere)
    return {
        "kills": done,
        "tmpdir_on_another_file_system": others,
        "in_the_middle_of_a_write": in_writes,
        "broken_files": broken,
        "wrong_starts": wrong,
        "leftovers": left,
        "runs_finished": finished,
        "unequal_ends": unequal,
    }
