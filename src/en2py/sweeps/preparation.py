"""Prepare the data of a sweep once and estimate its runtime, before its first run starts."""

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
from en2py.sweeps import plan

_WARM_UP, _STEPS, _SECONDS = 3, 15, 5.0  # of the measurement: it ends by whichever comes first


log = logging.getLogger(__name__)


def get_ready(configs: list[DictConfig], n_at_once: int) -> None:
    """Prepare the data of all runs and say how long they will take.

    What goes wrong here goes wrong in the run itself too, and is told there.

    Args:
        configs: Of the runs that are to be trained, checked.
        n_at_once: How many of them train side by side.
    """
    plain: list[Any] = [OmegaConf.to_container(cfg, resolve=True) for cfg in configs]
    try:
        with log_file(Path(plain[0]["output"]) / plain[0]["study"] / "ahead.log"):
            _prepare(plain)
            told = _from_finished(plain[0]) or _measured(plain[0])
    except UserError as error:
        log.info(f"no estimate of the time: {error}")
        return
    except Exception as error:
        logging.getLogger().exception("the preparation failed")
        log.info(f"no estimate of the time ({type(error).__name__}: {error})")
        return
    seconds, how = told
    n_at_once = min(n_at_once, len(plain))
    rounds = -(-len(plain) // n_at_once)
    log.info(
        f"estimated time: {duration(seconds * rounds)}; {len(plain)} to do, {n_at_once} at "
        f"once, {duration(seconds)} each ({how})"
    )


def _prepare(configs: list[dict[str, Any]]) -> None:
    """Fill the cache with the prepared data of each distinct choice of data."""
    from en2py.training import build

    distinct = {digest(data_key(config)): config for config in configs}
    started = time.monotonic()
    made = [config for config in distinct.values() if not build.prepare_data(config)[1]]
    if made:
        log.info(f"data prepared once for all runs, in {duration(time.monotonic() - started)}")


def _from_finished(config: dict[str, Any]) -> tuple[float, str] | None:
    """Return the mean time of this sweep's finished runs, in seconds, and where it is from."""
    results = plan.results_of_this(Path(config["output"]) / config["study"])
    seconds = [r["seconds"] + r.get("test_seconds", 0.0) for r in results]
    if not seconds:
        return None
    return sum(seconds) / len(seconds), f"from the {len(seconds)} finished of this sweep"


def _measured(config: dict[str, Any]) -> tuple[float, str]:
    """Train a few steps of a run, in a folder of their own, and return its time in seconds."""
    from pytorch_lightning.callbacks import Callback

    from en2py.training import build, checkpoints
    from en2py.training.callbacks.throughput import Throughput

    class Clock(Callback):
        """Notes when steps end; stops when enough time was spent."""

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
    module = build.new_module(
        config, prepared, checkpoints.checkpoint_metadata(config, {}, prepared, "")
    )
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
