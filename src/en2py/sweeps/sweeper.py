"""What a sweep does before its first run starts: the data, once, and an estimate of the time.

Without it, runs that start side by side would all wait for the one that prepares the data.
"""

import copy
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from en2py import console
from en2py.config.run_name import data_key
from en2py.data.files import digest
from en2py.errors import Fault, UserError
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
    from en2py.console import log_file

    plain: list[Any] = [OmegaConf.to_container(cfg, resolve=True) for cfg in configs]
    try:
        with log_file(Path(plain[0]["output"]) / plain[0]["study"] / "ahead.log"):
            _prepare(plain)
            told = _from_finished(plain[0]) or _measured(plain[0])
    except UserError as error:
        console.say(f"no estimate of the time: {error}")
        return
    except Exception as error:
        log.exception("getting ready failed")
        console.say(f"no estimate of the time ({type(error).__name__}: {error})")
        return
    seconds, how = told
    n_at_once = min(n_at_once, len(plain))
    rounds = -(-len(plain) // n_at_once)
    console.say(
        f"estimated time: {console.duration(seconds * rounds)}; {len(plain)} to do, {n_at_once} at "
        f"once, {console.duration(seconds)} each ({how})"
    )


def _prepare(configs: list[dict[str, Any]]) -> None:
    """Fill the cache with the prepared data of each distinct choice of data."""
    from en2py.training import build

    distinct = {digest(data_key(config)): config for config in configs}
    started = time.monotonic()
    made = [config for config in distinct.values() if not build.prepare_data(config)[1]]
    if made:
        console.say(
            f"data prepared once for all runs, in {console.duration(time.monotonic() - started)}"
        )


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
    module = build.new_module(config, prepared, checkpoints.stored_record(config, {}, prepared, ""))
    datamodule = build.datamodule(config, prepared)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = build.trainer(config, Path(folder), [], interactive=False)
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


_TRIES = 2  # launches in a row that may end without a run more being finished
_KILLED = (
    "worker processes were killed again and again, most likely for their memory: take fewer at "
    "once with hydra.launcher.n_jobs=, and the same command goes on"
)

Before = Callable[[list[DictConfig], int], None]


class StudySweeper(BasicSweeper):
    """Runs every combination of the values given, but those that are finished or refused.

    Where a launcher's worker process dies (killed for its memory, say), it takes the others with
    it; those that were under way go on from their last checkpoints, unless that gets no further.
    """

    def setup(self, *, task_function: Any, **more: Any) -> None:
        """Keep the job, which carries what is to be done before a sweep."""
        super().setup(task_function=task_function, **more)
        self.before_sweep: Before | None = getattr(task_function, "before_sweep", None)

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, show, prepare, launch."""
        from en2py.sweeps import plan, progress
        from en2py.training import run_folder

        assert self.config is not None and self.launcher is not None
        assert self.hydra_context is not None
        if self.config.hydra.job.config_name != "train":
            return super().sweep(arguments)
        folder = Path(self.config.hydra.sweep.dir)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (batch,) = self.split_arguments(overrides, None)
        planned = [self._plan(words) for words in batch]
        jobs = [job for job, _ in planned]
        states = [
            run_folder.state_of(folder / job.run) if job.run else run_folder.State("")
            for job in jobs
        ]
        plan.write_plan(folder, jobs)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        progress.show_plan(jobs, states, folder)
        waiting = [
            (job, cfg)
            for (job, cfg), state in zip(planned, states, strict=True)
            if cfg is not None and (state.word != run_folder.FINISHED or cfg.fresh)
        ]
        if not waiting:
            return []
        if self.before_sweep is not None:
            self.before_sweep([cfg for _, cfg in waiting], _n_at_once(self.config))
        left, in_vain = [job for job, _ in waiting], 0
        while left:
            try:
                self.launcher.launch([job.overrides for job in left], initial_job_idx=0)
                break
            except Exception as error:
                if not _worker_died(error):
                    raise
                unfinished = [job for job in left if self._unfinished(folder / job.run)]
                in_vain = in_vain + 1 if len(unfinished) == len(left) else 0
                if in_vain > _TRIES:
                    raise Fault(_KILLED) from None
                left = unfinished
        return []

    def _plan(self, words: Sequence[str]) -> tuple[Any, DictConfig | None]:
        """Compose and check one run; a refused one has no config."""
        from en2py.config import messages, validation
        from en2py.sweeps import plan
        from en2py.training import run_folder

        assert self.config is not None and self.hydra_context is not None
        loader = self.hydra_context.config_loader
        composed = loader.load_sweep_config(self.config, list(words))
        before, HydraConfig.instance().cfg = HydraConfig.instance().cfg, None
        HydraConfig.instance().set_config(composed)
        cfg, name = composed.copy(), ""
        choices = {k: str(v) for k, v in composed.hydra.runtime.choices.items()}
        with open_dict(cfg):
            del cfg["hydra"]
        try:
            validation.check(cfg, "train")
            choices = {k: v for k, v in choices.items() if not k.startswith("hydra")}
            name = run_folder.folder_of(cfg, list(words), choices).name
        except Exception as error:
            from en2py.config.composition import CONF

            reason = messages.explain(error, "train", list(words), CONF)
            if reason is None:
                raise
            return plan.Job(tuple(words), name, " ".join(reason.split())), None
        finally:
            HydraConfig.instance().cfg = before
        return plan.Job(tuple(words), name), cfg

    @staticmethod
    def _unfinished(folder: Path) -> bool:
        from en2py.training import run_folder

        return run_folder.state_of(folder).word not in (run_folder.FINISHED, run_folder.FAILED)


def _n_at_once(config: DictConfig) -> int:
    launcher = config.hydra.launcher
    return int(launcher.get("n_jobs") or launcher.get("array_parallelism") or 1)


def _worker_died(error: Exception) -> bool:
    """Tell joblib's error for it by name: the launcher is an extra."""
    return any(kind.__name__ == "BrokenProcessPool" for kind in type(error).__mro__)
