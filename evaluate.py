"""Evaluate checkpoints and baselines, or generate code: `python evaluate.py --help`."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from en2py.cli.main import command


def main(cfg: DictConfig) -> Any:
    """Evaluate checkpoints and baselines, or summarize a study."""
    if cfg.study is not None:
        from en2py.sweeps.summary import summarize_study

        return summarize_study(Path(cfg.study), target=Path(cfg.folder) if cfg.folder else None)
    from en2py.cli.evaluate import evaluate  # torch takes seconds: after the validation

    return evaluate(cfg)


if __name__ == "__main__":
    sys.exit(command(main, "evaluate"))
