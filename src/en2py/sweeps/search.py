"""The search: draw hyperparameters with Optuna, launch the trials, prune bad ones.

Trials are asked for and told one batch at a time, in a storage that several processes share. A
trial is a run like any other: an interrupted one resumes, and a finished run is not trained again.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, NonNegativeInt, PositiveInt

from en2py.config.argument_types import check_settings
from en2py.config.composition import groups_of, job_of, n_at_once, value_at, without_hydra
from en2py.config.effects import check_effects, without_effect
from en2py.config.run_name import config_digest, data_key, differences
from en2py.config.validation import check_values, with_floats
from en2py.console import Column, counted, print_table
from en2py.data.files import digest
from en2py.errors import UserError
from en2py.sweeps import plan, sweeper
from en2py.sweeps.search_space import Space, rounded, search_space, space_text
from en2py.sweeps.search_study import open_study, write_result
from en2py.training import run_folder

log = logging.getLogger(__name__)

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class RoundedTPESampler(optuna.samplers.TPESampler):  # type: ignore[misc]
    """Tree-structured Parzen estimator (Bergstra et al. 2011) whose numbers have three digits."""

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Return rounded values of the parameters that are sampled together."""
        found = super().sample_relative(study, trial, search_space)
        return {name: rounded(value, search_space[name]) for name, value in found.items()}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        """Return a rounded value of one parameter."""
        return rounded(super().sample_independent(study, trial, name, distribution), distribution)


class SearchSweeper(sweeper.StudySweeper):
    """Search for the lowest `val/nll`.

    Args:
        n_trials: Trials of the search, those of earlier commands and of other processes included;
            the same command again replaces failed ones.
        storage: A journal file, or a database as a URL, for example `sqlite:///search.db`.
        n_startup_trials: Random trials before the sampler uses results; before so many finished
            trials, none is pruned by the median.
        sampler: `tpe` or `random`.
        pruner: Stop trials whose `val/nll` is above the `median` of the others at the same epoch,
            or by `hyperband` (Li et al. 2018); None: train all to the end.
        n_warmup_epochs: First epochs, in which the median prunes nothing.
        seed: Of the sampler; with the number of a trial and the earlier results it determines the
            values of the trial.
        params: The search space; the command line replaces single parameters.
    """

    def __init__(
        self,
        n_trials: PositiveInt,
        storage: str,
        n_startup_trials: PositiveInt,
        sampler: Literal["tpe", "random"],
        pruner: Literal["median", "hyperband"] | None,
        n_warmup_epochs: NonNegativeInt,
        seed: Annotated[int, Field(ge=0)],
        params: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(params)
        self.n_trials, self.storage = n_trials, storage
        self.n_startup_trials, self.sampler, self.seed = n_startup_trials, sampler, seed
        self.pruner, self.n_warmup_epochs = pruner, n_warmup_epochs

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Print the plan, prepare the data, and run trials until there are `n_trials`."""
        self._check()
        self.fixed, self.space, n_epochs = self._search_space(arguments)
        self.folder = Path(self.config.hydra.sweep.dir)
        self.base = base = with_floats(self._base_config(self.fixed))
        self.base_sha256 = config_digest(base)
        if "://" not in self.storage:
            self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "storage": self.storage,
            "study": f"{self.folder.name}-{self._digest()}",
            "pruner": self.pruner,
            "n_startup_trials": self.n_startup_trials,
            "n_warmup_epochs": self.n_warmup_epochs,
            "max_epochs": n_epochs,
        }
        self.study = open_study(settings)
        self.folder.mkdir(parents=True, exist_ok=True)
        os.environ[run_folder.SEARCH] = json.dumps(settings)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        self._locks: dict[int, FileLock] = {}
        try:
            self._run_trials()
        finally:
            for lock in self._locks.values():  # an interrupted trial is anyone's to resume
                lock.release()
            os.environ.pop(run_folder.SEARCH, None)
            write_result(self.folder, self.study)
        return []

    def _search_space(self, arguments: Sequence[str]) -> tuple[list[str], Space, int]:
        """Return the fixed overrides, the search space and the most epochs of a trial.

        A typed parameter that nothing reads is refused; one of `params` is left out.
        """
        parsed = self._parsed(arguments)
        typed = {override.get_key_element() for override in parsed[len(self.params) :]}
        left_out = self._set_by_options(*search_space(parsed), typed)
        read = [o for o in parsed if o.get_key_element() not in left_out]
        configs = self._check_comparable(*search_space(read))
        with job_of(self.config):
            reasons = [dict(without_effect(config)) for config in configs]
            for key in self.params:
                if all(key in found for found in reasons):
                    left_out.setdefault(key, reasons[0][key])
            params = [f"{key}={value}" for key, value in self.params.items() if key not in left_out]
            for config in configs:
                check_effects(config, [*arguments, *params])
        for key, reason in left_out.items():
            log.info(f"{key} is not searched: {reason}")
        fixed, space = search_space([o for o in read if o.get_key_element() not in left_out])
        space = {key: self._with_floats(key, values, fixed) for key, values in space.items()}
        return fixed, space, max(config["trainer"]["max_epochs"] for config in configs)

    def _with_floats(self, key: str, distribution: Any, fixed: Sequence[str]) -> Any:
        """Write whole numbers among the choices of a fraction as such: `0,0.1` is `0.0,0.1`."""
        texts = getattr(distribution, "choices", ())
        if not any(text.isdecimal() for text in texts):
            return distribution
        configs = (with_floats(self._base_config([*fixed, f"{key}={text}"])) for text in texts)
        values = [value_at(config, key) for config in configs]
        found = [
            str(value) if text.isdecimal() and isinstance(value, float) else text
            for text, value in zip(texts, values, strict=True)
        ]
        return CategoricalDistribution(list(dict.fromkeys(found)))

    def _run_trials(self) -> None:
        n_parallel = n_at_once(self.config.hydra.launcher)
        known = {trial.number for trial in self._trials(*_DONE)}
        plan.write_plan(self.folder, [self._job(trial) for trial in self._trials(*_DONE)])
        self._print_plan()
        self._failed: set[int] = set()
        is_prepared, trained = False, set[str]()
        while batch := self._claim(n_parallel):
            self._check_files()
            planned = {number: self._plan(self._overrides(trial)) for number, trial in batch}
            jobs = {number: self._job(trial, planned[number][0]) for number, trial in batch}
            plan.write_plan(self.folder, list(jobs.values()))
            configs = [config for _, config in planned.values() if config is not None]
            if configs and not is_prepared:
                left = self.n_trials - len(self._trials(*_DONE))
                sweeper.prepare_data([configs[0]] * max(left, 1), n_parallel)
                is_prepared = True
            trained |= self._run_batch(jobs)
            known |= jobs.keys()
        done = {(job := self._job(trial)).run: job for trial in self._trials(*_DONE)}
        finished = [done[run] for run in sorted(done.keys() - trained) if self._is_finished(run)]
        sweeper.take_finished(self.folder, [(job, self.base) for job in finished])
        others = [trial for trial in self._trials(*_DONE) if trial.number not in known]
        plan.write_plan(self.folder, [self._job(trial) for trial in others])

    def _run_batch(self, jobs: Mapping[int, plan.Job]) -> set[str]:
        """Launch the jobs of trials, tell the results, and return the runs that were trained."""
        for job in jobs.values():
            if job.run and self.config.get("fresh"):
                run_folder.archive(self.folder / job.run)
        todo = {j.run: j for j in jobs.values() if j.run and not self._is_finished(j.run)}
        if todo:
            self._launch(list(todo.values()), self.folder)
        for number, job in jobs.items():
            if job.run not in todo and job.run:
                log.info(f"{job.trial_label()}: this run is finished: {self.folder / job.run}")
            self._tell(number, job)
            self._locks.pop(number).release()
        return set(todo)

    # -- trials -----------------------------------------------------------------------------------

    def _claim(self, n: int) -> list[tuple[int, FrozenTrial]]:
        """Return up to `n` trials to run: interrupted ones first, then new ones.

        A process holds the lock of a trial while it runs it, so a trial whose lock is free was
        interrupted.
        """
        claimed: dict[int, FrozenTrial] = {}
        self.folder.joinpath(".search").mkdir(exist_ok=True)
        with FileLock(self.folder / ".search" / "lock"):
            for trial in self._trials(TrialState.RUNNING):
                if len(claimed) < n and self._lock(trial.number, is_new=False):
                    if set(trial.params) == set(self.space):
                        claimed[trial.number] = trial
                    else:  # interrupted while it was drawn
                        self.study.tell(trial.number, state=TrialState.FAIL)
            while len(claimed) < n:
                trials = self._trials(*_DONE, TrialState.RUNNING)
                if len(trials) + len(self._failed) >= self.n_trials:
                    break
                trial = self._ask()
                self._lock(trial.number, is_new=True)
                claimed[trial.number] = trial
        return list(claimed.items())

    def _lock(self, number: int, *, is_new: bool) -> bool:
        """Lock a trial; return False for one of another process or of another file system."""
        path = self.folder / ".search" / f"{self.study.study_name}-{number}.lock"
        if not is_new and not path.exists():
            return False
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        path.touch()
        self._locks[number] = lock
        return True

    def _ask(self) -> FrozenTrial:
        """Draw the values of a new trial: a function of seed, its number and earlier results."""
        number = len(self.study.get_trials(deepcopy=False))
        text = hashlib.sha256(f"{self.seed}-{number}".encode()).hexdigest()
        n_startup = self.n_trials if self.sampler == "random" else self.n_startup_trials
        self.study.sampler = RoundedTPESampler(
            seed=int(text[:8], 16), n_startup_trials=n_startup, constant_liar=True
        )
        trial = self.study.ask(self.space)
        trial.set_user_attr("run", self._plan(self._overrides(trial))[0].run)
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _overrides(self, trial: Any) -> tuple[str, ...]:
        return (*self.fixed, *(f"{key}={value}" for key, value in trial.params.items()))

    def _job(self, trial: FrozenTrial, job: plan.Job | None = None) -> plan.Job:
        replaced = len([t for t in self._trials(TrialState.FAIL) if t.number < trial.number])
        run, reason = (job.run, job.reason) if job else (trial.user_attrs.get("run", ""), "")
        return plan.Job(
            self._overrides(trial),
            run,
            reason,
            trial=trial.number + 1,
            n_trials=self.n_trials + replaced,
            searched=tuple(trial.params),
        )

    def _tell(self, number: int, job: plan.Job) -> None:
        state, value = job.state(self.folder), None
        if state.status == run_folder.FINISHED:
            result: Any = run_folder.read_result(self.folder / job.run)
            value = result["best"].get("val/nll")
        if value is not None and not math.isnan(value):
            self.study.tell(number, value)
        elif state.status == run_folder.PRUNED:
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, state=TrialState.FAIL)
            self._failed.add(number)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        found: list[FrozenTrial] = self.study.get_trials(deepcopy=False, states=states)
        return found

    def _is_finished(self, run: str) -> bool:
        return run_folder.read_state(self.folder / run).status == run_folder.FINISHED

    # -- settings ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Compare the settings with the types of the constructor's arguments."""
        if self.config.hydra.job.config_name != "train":
            raise UserError("hydra/sweeper=search: only train.py searches")
        sweeper_config = self.config.hydra.sweeper
        settings = {key: value for key, value in sweeper_config.items() if key != "params"}
        check_settings(SearchSweeper, "hydra.sweeper", settings)

    def _check_comparable(self, fixed: Sequence[str], space: Space) -> list[dict[str, Any]]:
        """Refuse values out of range, and a parameter that changes tokens or pairs of `val/nll`.

        Return configs that have each value, or end of an interval, of each parameter.
        """
        values = {key: getattr(d, "choices", None) or (d.low, d.high) for key, d in space.items()}
        start = {key: choices[0] for key, choices in values.items()}

        def config_of(drawn: Mapping[str, Any]) -> dict[str, Any]:
            config = self._base_config([*fixed, *(f"{k}={v}" for k, v in drawn.items())])
            check_values(config)
            sweeper.check_study(Path(self.config.hydra.sweep.dir), [config])
            return config

        first = config_of(start)
        all_configs = [first]
        for key, choices in values.items():
            others = [config_of({**start, key: value}) for value in choices[1:]]
            all_configs += others
            is_group = key in groups_of()  # its option is a part of the names of runs
            if {*map(config_digest, others)} == {config_digest(first)} and not is_group:
                raise UserError(
                    f"{key}={space_text(space[key])}: no run depends on this setting; fix it"
                )
            changed = [x for other in others for x in differences(_basis(first), _basis(other))]
            if changed:
                raise UserError(
                    f"{key}={space_text(space[key])}: changes the tokens or the pairs of val/nll "
                    f"({changed[0]}), by which a search compares its trials; fix it, or train a "
                    "sweep over it without hydra/sweeper=search, whose table has bits per character"
                )
        return all_configs

    def _set_by_options(
        self, fixed: Sequence[str], space: Space, typed: Collection[str]
    ) -> dict[str, str]:
        """Return the default parameters that searched options set, which would have no effect."""
        found = {}
        for group in (key for key in space if key in groups_of()):
            options = getattr(space[group], "choices", ())
            configs = [OmegaConf.create(self._base_config([*fixed, f"{group}={option}"]))
                       for option in options]  # fmt: skip
            for key in self.params:
                if key not in typed and key.startswith(f"{group.replace('/', '.')}."):
                    if len({str(OmegaConf.select(config, key)) for config in configs}) > 1:
                        found[key] = f"{group}={','.join(options)} sets it"
        return found

    def _base_config(self, fixed: Sequence[str]) -> dict[str, Any]:
        cfg = without_hydra(self._composed(fixed))
        plain: Any = OmegaConf.to_container(cfg, resolve=True)
        if plain["trainer"].get("limit_val_batches") == 0:
            raise UserError(
                "trainer.limit_val_batches=0: a search needs val/nll, which a validation measures"
            )
        return dict(plain)

    def _check_files(self) -> None:
        """Refuse more trials if a file that they read is another one than at the start."""
        if config_digest(with_floats(self._base_config(self.fixed))) != self.base_sha256:
            raise UserError(
                "a file that the trials read has changed since this search began, so val/nll of "
                "the next ones could not be compared; the same command begins another search"
            )

    def _digest(self) -> str:
        """Return what tells searches of a study apart: fixed settings, search space, seed."""
        texts = {key: space_text(distribution) for key, distribution in sorted(self.space.items())}
        return digest([self.base_sha256, texts, self.seed])[:8]

    def _print_plan(self) -> None:
        """Print the search space, and the number of trials in each state."""
        counts = {
            "finished": len(self._trials(TrialState.COMPLETE)),
            "pruned": len(self._trials(TrialState.PRUNED)),
            "failed, replaced": len(self._trials(TrialState.FAIL)),
            "interrupted or running": len(self._trials(TrialState.RUNNING)),
        }
        words = [f"{n} {word}" for word, n in counts.items() if n]
        done = f" ({', '.join(words)})" if words else ""
        trials = counted(self.n_trials, "trial")
        columns = [Column("parameter", numeric=False), Column("searched", numeric=False)]
        rows = [[key, space_text(distribution)] for key, distribution in self.space.items()]
        print_table(f"{self.folder.name}: search, {trials}{done}", columns, rows)
        sampler = {"tpe": "TPE", "random": "random"}[self.sampler]
        pruned = f"pruned by {self.pruner}" if self.pruner else "none is pruned"
        log.info(f"sampler: {sampler}, {pruned}; storage: {self.storage}")
        if self.config.get("fresh") and (n := len(self._trials(*_DONE))):
            log.warning(
                f"fresh=true repeats none of the {n} trials that are finished or pruned; for "
                "another search add hydra.sweeper.seed=NUMBER or study=NAME"
            )


def _basis(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what determines the tokens and the pairs of `val/nll`."""
    limit = {"limit_val_batches": config["trainer"].get("limit_val_batches")}
    basis = {**data_key(config), "trainer": limit}
    basis["vocab"] = {"tgt_min_freq": config["vocab"]["tgt_min_freq"]}
    if config["vocab"]["tgt_min_freq"] == 1 and "vocab_size" not in config["tokenizer"]["tgt"]:
        del basis["augmentation"]  # variants have no other tokens; they change learned pieces
    return basis
