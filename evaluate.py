"""Evaluate checkpoints and baselines, or generate code: `python evaluate.py --help`."""

import sys

from en2py.cli.main import command
from en2py.cli.programs import run_evaluation as main

if __name__ == "__main__":
    sys.exit(command(main, "evaluate"))
