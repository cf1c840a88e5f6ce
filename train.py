"""Train a model, or with `-m` a sweep of models: `python train.py --help`."""

import sys

from omegaconf import DictConfig

from en2py.cli.main import command


def main(cfg: DictConfig) -> float:
    """Train and test one run, and return its best validation NLL, which a search minimizes."""
    from en2py.cli.train import train  # torch takes seconds: after the validation

    return train(cfg)


if __name__ == "__main__":
    sys.exit(command(main, "train"))
