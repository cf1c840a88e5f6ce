"""Prepare the data of a sweep and estimate its runtime, before its first run starts."""

import copy
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.config.run_name import data_key
from en2py.console import duration, log_file
from en2py.data.files import digest
from en2py.errors import UserError
from en2py.sweeps.plan import planned_jobs
from en2py.training.run_folder import read_result

_WARM_UP, _STEPS, _SECONDS = 3, 15, 5.0  # the measurement ends after so many steps or seconds

log = logging.getLogger(__name__)


def prepare_data(configs: list[DictConfig], n_parallel: int) -> None:
    """Prepare the data of the runs of a sweep once, and log its estimated runtime.

    An error here is logged in one line: the run meets it again and reports it.

    Args:
        configs: Validated configs of the runs to train.
        n_parallel: Number of runs at the same time.
    """
    plain: list[Any] = [OmegaConf.to_container(cfg, resolve=True) for cfg in configs]
    study = Path(plain[0]["output"], plain[0]["study"])
    try:
        with log_file(study / "preparation.log"):
            _fill_cache(plain)
            seconds, source = _mean_of_finished(study) or _measure(plain[0])
    except UserError as error:
        log.info(f"no estimate of the time: {error}")
        return
    except Exception as error:
        log.info(f"no estimate of the time ({type(error).__name__}: {error})")
        return
    n_parallel = min(n_parallel, len(plain))
    rounds = -(-len(plain) // n_parallel)
    log.info(
        f"estimated time: {duration(seconds * rounds)}; {len(plain)} to do, {n_parallel} at "
        f"once, {duration(seconds)} each ({source})"
    )


def _fill_cache(configs: list[dict[str, Any]]) -> None:
    from en2py.training.build import prepare_data

    distinct = {digest(data_key(config)): config for config in configs}
    started = time.monotonic()
    from_cache = [prepare_data(config)[1] for config in distinct.values()]
    if not all(from_cache):
        log.info(f"data prepared once for all runs, in {duration(time.monotonic() - started)}")


def _mean_of_finished(study: Path) -> tuple[float, str] | None:
    """Return the mean time in seconds of this sweep's finished runs, and a remark."""
    results = [read_result(study / job.run) for job in planned_jobs(study) if job.run]
    seconds = [r["seconds"] + r["test_seconds"] for r in results if r is not None]
    if not seconds:
        return None
    return sum(seconds) / len(seconds), f"from the {len(seconds)} finished of this sweep"


def _measure(config: dict[str, Any]) -> tuple[float, str]:
    """Train a few steps in a temporary folder; return the time of the run in seconds."""
    from pytorch_lightning.callbacks import Callback

    from en2py.training import build, checkpoints
    from en2py.training.callbacks.throughput import Throughput

    class Clock(Callback):
        """Record when steps end, and stop when enough time has passed."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            self.ends.append(time.perf_counter())
            spent = self.ends[-1] - self.ends[0]
            trainer.should_stop = len(self.ends) > _WARM_UP and spent > _SECONDS

    wanted = config["trainer"]
    config = copy.deepcopy(config)
    config["callbacks"] = {}
    config["trainer"] |= {"max_epochs": 1, "max_steps": _STEPS, "limit_val_batches": 0}
    config["trainer"] |= {"devices": 1, "strategy": "auto", "num_nodes": 1}
    prepared, _ = build.prepare_data(config)
    metadata = checkpoints.checkpoint_metadata(config, {}, prepared, "")
    module = build.new_module(config, prepared, metadata)
    datamodule = build.datamodule(config, prepared)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build.trainer(config, Path(folder), [], interactive=False)
        kept = [c for c in trainer.callbacks if not isinstance(c, Throughput)]  # type: ignore[attr-defined]
        trainer.callbacks = [*kept, clock]  # type: ignore[attr-defined]
        trainer.fit(module, datamodule)
    warm = min(_WARM_UP, len(clock.ends) - 1)
    if warm < 1:
        raise UserError("an epoch has a single step, too few to measure")
    step = (clock.ends[-1] - clock.ends[warm - 1]) / (len(clock.ends) - warm)
    epoch = int(trainer.num_training_batches)
    n_steps = epoch * wanted["max_epochs"] if wanted["max_epochs"] > 0 else wanted["max_steps"]
    how = f"{1000 * step:.0f} ms a step measured on the first, {n_steps:,} steps"
    return step * n_steps, f"{how}; less where it stops early, validation and test come on top"
