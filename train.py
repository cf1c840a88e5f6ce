"""Train a model, or with `-m` a sweep of models: `python train.py --help`."""

import sys

from en2py.cli.programs import train as main

if __name__ == "__main__":
    sys.exit(main())
