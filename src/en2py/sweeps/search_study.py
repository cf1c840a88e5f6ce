"""The Optuna study of a search: its storage, the trial of a run, the result.

The sweeper asks it for trials; a run that is trained reports to its own.
"""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from en2py.data.files import write_atomically
from en2py.errors import UserError, one_line
from en2py.training import run_folder

RESULT = "search.json"  # best trial and importance of the parameters, in the study's folder
_LEAST = 8  # finished trials for the importance of the parameters
optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", module="optuna")


def open_study(settings: Mapping[str, Any]) -> Any:
    """Open the Optuna study of a search, or create it.

    Raises:
        UserError: If the storage cannot be opened.
    """
    pruner: Any = optuna.pruners.NopPruner()
    if settings["pruner"] == "median":
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=settings["n_startup_trials"],
            n_warmup_steps=settings["n_warmup_epochs"] + 1,  # pruning begins at this step
        )
    elif settings["pruner"] == "hyperband":
        pruner = optuna.pruners.HyperbandPruner(1, max(1, settings["max_epochs"]))
    try:
        return optuna.create_study(
            study_name=settings["study"],
            storage=_storage(settings["storage"]),
            direction="minimize",
            pruner=pruner,
            load_if_exists=True,
        )
    except Exception as error:  # of Optuna, SQLAlchemy, a driver, the file system
        raise UserError(
            f"hydra.sweeper.storage={settings['storage']} cannot be opened "
            f"({one_line(error)[:200]}): give a file, or a URL such as sqlite:///search.db"
        ) from error


def _storage(text: str) -> Any:
    if "://" in text:
        return optuna.storages.RDBStorage(text)
    backend = optuna.storages.journal.JournalFileBackend(text)
    return optuna.storages.JournalStorage(backend)


def running_trial(run: str) -> Any:
    """Return the running trial of a run, for its reports; None if there is none."""
    study = open_study(json.loads(os.environ[run_folder.SEARCH]))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get("run") == run:
            return optuna.trial.Trial(study, trial._trial_id)
    return None


def write_result(folder: Path, study: Any) -> None:
    """Write the best trial, and the importance of each parameter once enough trials are finished.

    Without a finished trial, remove the file: that of another search would be taken for this one's.
    The importance is the share of the variance of `val/nll` that a parameter explains, by fANOVA
    (Hutter et al. 2014) over the finished trials. Optuna's default, PED-ANOVA, ranks two parameters
    of a dozen trials hardly better than chance.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        (folder / RESULT).unlink(missing_ok=True)
        return
    importance: dict[str, float] = {}
    if len(finished) >= _LEAST and len({trial.value for trial in finished}) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        importance = {key: float(share) for key, share in found.items()}
    best = study.best_trial
    record = {
        "sweep": os.environ.get(run_folder.SWEEP_ID),
        "study": study.study_name,
        "finished": len(finished),
        "pruned": len(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))),
        "best": {
            "trial": best.number + 1,
            "run": best.user_attrs.get("run"),
            "value": best.value,
            "params": best.params,
        },
        "importance": importance,
    }
    write_atomically(folder / RESULT, json.dumps(record, indent=1).encode())
