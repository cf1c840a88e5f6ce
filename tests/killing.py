"""An entry point that kills its own process once, for the test of killed workers."""

import os
import signal
from pathlib import Path
from typing import Any

from omegaconf import DictConfig


def main(cfg: DictConfig) -> Any:
    from en2py.cli.train import train

    # A file and not a variable: the worker may have started before the test.
    mark = Path(cfg.output).parent / "killed"
    if cfg.seed == 2 and not mark.exists():
        mark.write_text("killed once")
        os.kill(os.getpid(), signal.SIGKILL)
    return train(cfg)
