"""Train a model, or with `-m` a sweep of models: `python train.py --help`."""

import sys
from typing import Any

from omegaconf import DictConfig

from en2py.cli.main import command
from en2py.sweeps import progress, sweeper


def main(cfg: DictConfig) -> Any:
    """Do one run and return its score, which a search over values reads."""
    from en2py.cli.train import (
        train,  # torch and Lightning take seconds: only once the config is good
    )

    return train(cfg)


if __name__ == "__main__":
    sys.exit(command(main, "train", before_sweep=sweeper.get_ready, after_sweep=progress.summary))
