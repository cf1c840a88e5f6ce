"""Score checkpoints and baselines, or let one write code: `python evaluate.py --help`."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from en2py.cli.main import command


def main(cfg: DictConfig) -> Any:
    """Do what the config asks of checkpoints and baselines."""
    if cfg.study is not None:
        from en2py.sweeps.summary import summarise

        return summarise(Path(cfg.study), target=Path(cfg.folder) if cfg.folder else None)
    # torch takes seconds: only once the config is good
    from en2py.cli.evaluate import evaluate

    return evaluate(cfg)


if __name__ == "__main__":
    sys.exit(command(main, "evaluate"))
