"""Generate code with a checkpoint: `python generate.py best.ckpt "add two numbers"`."""

import sys

from en2py.cli.programs import generate as main

if __name__ == "__main__":
    sys.exit(main())
