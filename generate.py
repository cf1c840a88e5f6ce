"""Generate code with a checkpoint: `python generate.py best.ckpt "add two numbers"`."""

import sys

try:
    from en2py.cli.programs import generate as main
except ModuleNotFoundError as error:
    if error.name != "en2py":
        raise
    print(f"{error}; first: make train, source .venv/bin/activate", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
