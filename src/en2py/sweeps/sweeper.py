"""The sweeper: plan a sweep, prepare its data, launch the runs that are not finished.

Hydra executes its own sweepers once more when it looks for plugins, and a subclass made before that
has another base class: nothing may import this module but the plugin in `hydra_plugins`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from en2py.errors import Fault

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
            run_folder.read_state(folder / job.run) if job.run else run_folder.State("")
            for job in jobs
        ]
        plan.write_plan(folder, jobs)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        progress.show_plan(jobs, states, folder)
        waiting = [
            (job, cfg)
            for (job, cfg), state in zip(planned, states, strict=True)
            if cfg is not None and (state.status != run_folder.FINISHED or cfg.fresh)
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
            validation.validate(cfg, "train")
            choices = {k: v for k, v in choices.items() if not k.startswith("hydra")}
            name = run_folder.Run(cfg, list(words), choices).name
        except Exception as error:
            from en2py.config.composition import CONF

            reason = messages.user_message(error, "train", list(words), CONF)
            if reason is None:
                raise
            return plan.Job(tuple(words), name, " ".join(reason.split())), None
        finally:
            HydraConfig.instance().cfg = before
        return plan.Job(tuple(words), name), cfg

    @staticmethod
    def _unfinished(folder: Path) -> bool:
        from en2py.training import run_folder

        return run_folder.read_state(folder).status not in (run_folder.FINISHED, run_folder.FAILED)


def _n_at_once(config: DictConfig) -> int:
    launcher = config.hydra.launcher
    return int(launcher.get("n_jobs") or launcher.get("array_parallelism") or 1)


def _worker_died(error: Exception) -> bool:
    """Tell joblib's error for it by name: the launcher is an extra."""
    return any(kind.__name__ == "BrokenProcessPool" for kind in type(error).__mro__)
