"""Prepare the data of a sweep before its first run starts."""

import logging
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.config.run_name import data_key
from en2py.console import duration, log_file
from en2py.data.files import digest
from en2py.errors import UserError
from en2py.sweeps.status import remaining_time

log = logging.getLogger(__name__)


def prepare_data(configs: list[DictConfig], n_parallel: int) -> None:
    """Prepare the data of the runs of a sweep once, and log how long the runs will take.

    That is known if this sweep has finished runs, otherwise after the first one: a measurement of
    a few steps says nothing about validation, test and the execution of programs.

    An error here is logged in one line: the run meets it again and reports it.

    Args:
        configs: Validated configs of the runs to train.
        n_parallel: Number of runs at the same time.
    """
    from en2py.training import build  # torch takes seconds

    plain: list[Any] = [OmegaConf.to_container(cfg, resolve=True) for cfg in configs]
    study = Path(plain[0]["output"], plain[0]["study"])
    started = time.monotonic()
    try:
        with log_file(study / "preparation.log"):
            distinct = {digest(data_key(config)): config for config in plain}
            if not all([build.prepare_data(config)[1] for config in distinct.values()]):
                spent = duration(time.monotonic() - started)
                log.info(f"data prepared once for all runs, in {spent}")
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        log.info(f"the data are not prepared: {kind}{error}")
    todo = f"{len(plain)} to do, {min(n_parallel, len(plain))} at once"
    log.info("; ".join(filter(None, [todo, remaining_time(study, n_parallel)])))
