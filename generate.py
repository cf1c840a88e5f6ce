"""Generate code with a checkpoint: `python generate.py best.ckpt "add two numbers"`."""

import argparse
import io
import sys

from omegaconf import DictConfig

from en2py.cli.main import command
from en2py.errors import UserError


def main() -> int:
    """Print the program for a description, or a JSON line for each line of stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file, best.ckpt of a run say")
    parser.add_argument("text", metavar="TEXT", nargs="?", default="-", help="the description, as "
                        "it is; '-' or none: read descriptions from stdin, one a line")  # fmt: skip
    parser.add_argument("--decoding", metavar="OPTION", action="append", default=[], help="greedy, "
                        "beam, sample, or a value like beam_size=8; may be repeated; default: "
                        "as trained")  # fmt: skip
    options = parser.parse_args()
    overrides = [f"decoding.{o}" if "=" in o else f"decoding={o}" for o in options.decoding]
    overrides.append(f"ckpt_path={options.checkpoint}")
    if options.text != "-":
        overrides.append(f"prompt={options.text}")

    def run(cfg: DictConfig) -> None:
        from en2py.cli.generate import generate  # torch takes seconds: after the validation

        generate(cfg, read_stdin() if options.text == "-" else None)

    return command(run, "evaluate", argv=["generate.py", *overrides])


def read_stdin() -> str:
    """Read UTF-8 text from stdin, whatever the encoding of the terminal."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UserError(
            f"stdin: byte 0x{error.object[error.start]:02x} is not UTF-8; if it is Latin-1 or "
            "Windows text, convert it first: iconv -f cp1252 -t UTF-8 FILE"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
