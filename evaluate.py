"""Score a checkpoint, or let it write code for a prompt: `python evaluate.py --help`."""

import sys
from typing import Any

from omegaconf import DictConfig

from en2py.cli import command


def main(cfg: DictConfig) -> Any:
    """Do what the config asks of one checkpoint."""
    from en2py.scoring import evaluate  # torch takes seconds: only once the config is good

    return evaluate(cfg)


if __name__ == "__main__":
    sys.exit(command(main, "evaluate"))
