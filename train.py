"""Train a model, or with `-m` a sweep of models: `python train.py --help`."""

import sys

try:
    from en2py.cli.programs import train as main
except ModuleNotFoundError as error:
    if error.name != "en2py":
        raise
    print(f"{error}; first: make train, source .venv/bin/activate", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
