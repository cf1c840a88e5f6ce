"""Train a model, or with `-m` a sweep of models: `python train.py --help`."""

import sys
from typing import Any

from omegaconf import DictConfig

from en2py.cli.main import command
from en2py.sweeps import preparation, progress


def main(cfg: DictConfig) -> Any:
    """Do one run and return its score, which a search over values reads."""
    # torch takes seconds: only once the config is good
    from en2py.cli.train import train

    return train(cfg)


if __name__ == "__main__":
    sys.exit(
        command(main, "train", before_sweep=preparation.get_ready, after_sweep=progress.summary)
    )
