"""Train a model, or with `-m` a sweep of models: `python train.py --help`."""

import sys
from typing import Any

from omegaconf import DictConfig

from en2py import ahead, sweep
from en2py.cli import command


def main(cfg: DictConfig) -> Any:
    """Do one run and return its score, which a search over values reads."""
    from en2py.run import train  # torch and Lightning take seconds: only once the config is good

    return train(cfg)


if __name__ == "__main__":
    sys.exit(command(main, "train", before_sweep=ahead.get_ready, after_sweep=sweep.summary))
