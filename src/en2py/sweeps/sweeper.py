"""The sweeper: plan a sweep, prepare its data, launch the runs that are not finished."""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from en2py.config.composition import job_of, n_at_once, words_of
from en2py.config.run_name import data_key
from en2py.console import counted, duration, log_file, set_job
from en2py.data.files import digest
from en2py.errors import Fault, UserError
from en2py.sweeps import plan, status
from en2py.training import run_folder
from en2py.training.run import Run

log = logging.getLogger(__name__)

_MAX_TRIES = 2  # launches in a row without another finished run
_LOST = ("BrokenProcessPool", "RayActorError", "KilledWorker")  # a worker process is dead
_KILLED = (
    "worker processes were killed repeatedly, most likely because memory ran out: run fewer at "
    "once with hydra.launcher.n_jobs=; the same command (without fresh=true) resumes the sweep"
)


Planned = tuple[plan.Job, dict[str, Any] | None]  # with the config of its run; None: refused


def take_finished(study: Path, finished: Iterable[tuple[plan.Job, Mapping[str, Any]]]) -> None:
    """Warn of settings without effect on finished runs; keep their weights alone if asked to."""
    found, n_reduced = Counter[str](), 0
    for job, config in finished:
        folder = study / job.run
        found.update(run_folder.settings_without_effect(folder, config, job.overrides, study))
        if config["checkpoints"]["keep"] == "weights":
            from en2py.training.checkpoints import discard_training_state  # torch takes seconds

            try:
                n_reduced += discard_training_state(folder / "checkpoints")
            except UserError as error:  # the other runs do not depend on it
                log.warning(f"checkpoints.keep=weights: {error}")
    if n_reduced:
        runs = counted(n_reduced, "run")
        log.info(f"checkpoints.keep=weights: removed the training state of {runs} finished before")
    for sentence, n in found.items():
        log.warning(f"warning: {counted(n, 'run')} finished before: {sentence}")


def check_study(folder: Path, configs: Iterable[Mapping[str, Any]]) -> None:
    """Refuse runs that are not in the folder of their sweep, as those of several experiments.

    Raises:
        UserError: With their studies.
    """
    others = (c["study"] for c in configs if Path(c["output"], c["study"]) != folder)
    if names := " and ".join(f"study={name}" for name in dict.fromkeys(others)):
        raise UserError(
            f"the swept options set {names}, and all runs of a sweep are in one study: add "
            "study=NAME"
        )


class StudySweeper(Sweeper):
    """Execute every combination of the given values that is neither finished nor refused.

    If a worker process of the launcher dies, the launcher stops the others too. Interrupted runs
    are launched again and resume from their last checkpoints, as long as runs finish.

    Args:
        params: Values of keys, in addition to those of the command line.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = params or {}

    config: DictConfig
    hydra_context: HydraContext

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the launcher; called by Hydra."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Plan the jobs, print the plan, prepare the data and launch the jobs."""
        assert self.launcher is not None
        batch = combinations(self._parsed(arguments))
        if self.config.hydra.job.config_name != "train":
            returns = self.launcher.launch(batch, initial_job_idx=0)
            return [returned.return_value for returned in returns]  # raises the error of a job
        folder = Path(self.config.hydra.sweep.dir)
        all_planned = [self._plan(overrides) for overrides in batch]
        check_study(folder, [config for _, config in all_planned if config is not None])
        planned = _without_repeated(all_planned)
        jobs = [job for job, _ in planned]
        states = [job.state(folder) for job in jobs]
        plan.write_plan(folder, jobs)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        fresh = [config is not None and config["fresh"] for _, config in planned]
        status.print_plan(jobs, states, fresh, folder)
        todo, finished = [], []
        for (job, config), state in zip(planned, states, strict=True):
            if config is None:
                continue
            if state.status != run_folder.FINISHED or config["fresh"] or state.other_python:
                todo.append((job, config))
                if config["fresh"]:  # so that the sweep without it resumes exactly this one
                    run_folder.archive(folder / job.run)
            else:
                finished.append((job, config))
        take_finished(folder, finished)
        if todo:
            n_parallel = n_at_once(self.config.hydra.launcher)
            prepare_data([config for _, config in todo], n_parallel)
            self._launch([job for job, _ in todo], folder)
        return []

    def _parsed(self, arguments: Sequence[str]) -> list[Override]:
        """Return the parsed `params` and overrides of the command line, which come last."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        return parser.parse_overrides([*params, *arguments])

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        """Return the config of a job, with Hydra's own settings."""
        loader = self.hydra_context.config_loader
        return loader.load_sweep_config(self.config, list(overrides))

    def _launch(self, jobs: list[plan.Job], folder: Path) -> None:
        """Launch jobs; after the death of a worker process, launch again those that did not end."""
        assert self.launcher is not None
        n_tries = 0
        while jobs:
            try:
                self.launcher.launch([job.overrides for job in jobs], initial_job_idx=0)
                return
            except Exception as error:
                # By the names of the errors of joblib, Ray and Dask, which are extras.
                if not any(kind.__name__ in _LOST for kind in type(error).__mro__):
                    raise
            finally:
                set_job("")  # the last one that ran in this process
            left = [job for job in jobs if not status.has_ended(folder / job.run)]
            n_tries = n_tries + 1 if len(left) == len(jobs) else 0
            if n_tries > _MAX_TRIES:
                raise Fault(_KILLED)
            jobs = left

    def _plan(self, overrides: Sequence[str]) -> Planned:
        """Compose and validate the config of a job."""
        from en2py.config.messages import user_message
        from en2py.config.validation import validate

        try:
            with job_of(self._composed(overrides)) as cfg:
                validate(cfg, "train")
                run = Run.of_job(cfg)
                return plan.Job(tuple(overrides), run.name), run.config
        except Exception as error:
            of_hydra = map(str, self.config.hydra.overrides.hydra)
            folders = [word for word in of_hydra if word.startswith("hydra.searchpath=")]
            message = user_message(error, "train", [*folders, *overrides])
            if message is None:
                raise
            return plan.Job(tuple(overrides), "", " ".join(message.split())), None


def prepare_data(configs: Sequence[dict[str, Any]], n_parallel: int) -> None:
    """Prepare the data of the runs of a sweep once, and log how long the runs will take.

    That is known if this sweep has finished runs, otherwise after the first one: a measurement of
    a few steps says nothing about validation, test and the execution of programs.

    An error here is logged in one line: the run meets it again and reports it.
    """
    from en2py.training import run_data  # torch takes seconds

    study = Path(configs[0]["output"], configs[0]["study"])
    started = time.monotonic()
    try:
        with log_file(study / "preparation.log"):
            distinct = {digest(data_key(config)): config for config in configs}
            new = [config for config in distinct.values() if not run_data.is_prepared(config)]
            for config in new:
                run_data.prepare_data(config)
            if new:
                spent = duration(time.monotonic() - started)
                log.info(f"data prepared once for all runs, in {spent}")
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        log.info(f"the data are not prepared: {kind}{error}")
    todo = f"{len(configs)} to do, {min(n_parallel, len(configs))} at once"
    time_left = status.remaining_time(study, n_parallel, len(configs))
    log.info("; ".join(filter(None, [todo, time_left])))


def _without_repeated(planned: Sequence[Planned]) -> list[Planned]:
    """Leave out the jobs that are the run of an earlier job, as of `seed=1,1`."""
    first: dict[str, Planned] = {}
    differing: dict[str, None] = {}
    for job, config in planned:
        other, _ = first.setdefault(job.run or " ".join(job.overrides), (job, config))
        words = (word for word in job.overrides if word not in other.overrides)
        differing |= dict.fromkeys(word.partition("=")[0].lstrip("+") for word in words)
    if n := len(planned) - len(first):
        only = f", which differs in {', '.join(differing)} alone," if differing else ""
        log.info(
            f"{n} of {len(planned)} combinations repeat the run of another{only} and are left out"
        )
    return list(first.values())


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job: all combinations of the values of the keys.

    Raises:
        UserError: For an interval, from which only a search can draw values.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        values[key] = words_of(override)
        if not values[key]:
            raise UserError(
                f"{override.input_line}: an interval needs hydra/sweeper=search; "
                f"list values for a sweep, as in {key}=1,2"
            )
    return [list(job) for job in itertools.product(*values.values())]
