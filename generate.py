"""Generate code with a checkpoint: `python generate.py best.ckpt "add two numbers"`."""

import argparse
import sys

from omegaconf import DictConfig

from en2py.cli.main import command


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

        generate(cfg, sys.stdin.read() if options.text == "-" else None)

    return command(run, "evaluate", argv=["generate.py", *overrides])


if __name__ == "__main__":
    sys.exit(main())
