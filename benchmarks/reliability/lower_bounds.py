"""Install every direct dependency at its lower bound and run the quick tests.

A version that cannot be installed is reported and replaced by that of constraints.txt.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def lower_ends() -> dict[str, str]:
    """Return each dependency, including those of extras, with its lower bound.

    The peers of the benchmarks are excluded: transformers needs newer tokenizers than we do.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].items()
    lines = [*project["dependencies"], *(one for k, v in extras if k != "bench" for one in v)]
    found = (re.match(r"([\w.-]+)>=([\w.]+)", line) for line in lines)
    return {match.group(1): match.group(2) for match in found if match}


def _can_be_had(python: Path, requirement: str) -> bool:
    command = [python, "-m", "pip", "install", "--dry-run", "--no-deps", "--only-binary", ":all:",
               "--quiet", requirement]  # fmt: skip
    return subprocess.run(command, capture_output=True).returncode == 0


def measure(quick: bool = False, folder: Path | None = None) -> dict[str, Any]:
    """Return the tested versions, those that could not be installed, and the test result."""
    with tempfile.TemporaryDirectory() as name:
        place = (folder or Path(name)) / "lower"
        python = place / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
        wanted = lower_ends()
        missing = [n for n, v in wanted.items() if not _can_be_had(python, f"{n}=={v}")]
        result: dict[str, Any] = {
            "tried": {n: v for n, v in wanted.items() if n not in missing},
            "not_to_be_had": {n: wanted[n] for n in missing},
        }
        if quick:
            return result
        pins = [f"{n}=={v}" for n, v in result["tried"].items()]
        given = (ROOT / "constraints.txt").read_text().splitlines()
        pins += [line for line in given if line.split("==")[0] in missing]
        file = place / "lower.txt"
        file.write_text("".join(f"{pin}\n" for pin in pins))
        command = [python, "-m", "pip", "install", "--quiet", "-c", file, "-e", ROOT, *pins]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {**result, "conflict": done.stderr[-2000:]}
        tests = subprocess.run(
            [python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"],
            capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return {**result, "tests": tests.stdout.strip().splitlines()[-15:]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only name the versions")
    parser.add_argument("--folder", type=Path, help="keep the environment there")
    print(measure(**vars(parser.parse_args())))
