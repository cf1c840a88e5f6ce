"""Evaluate checkpoints and baselines, or generate code: `python evaluate.py --help`."""

import sys

try:
    from en2py.cli.programs import evaluate as main
except ModuleNotFoundError as error:
    if error.name != "en2py":
        raise
    print(f"{error}; first: make train, source .venv/bin/activate", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
