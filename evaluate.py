"""Evaluate checkpoints and baselines, or generate code: `python evaluate.py --help`."""

import sys

from en2py.cli.programs import evaluate as main

if __name__ == "__main__":
    sys.exit(main())
