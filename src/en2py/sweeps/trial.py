"""Find the trial of a search that this process trains."""

import os

from en2py.training.callbacks.pruning import PruneTrial

SEARCH = "EN2PY_SEARCH"  # environment variable, inherited by the processes that run trials


def pruning_callback(run: str) -> list[PruneTrial]:
    """Return the callback that prunes the trial of a run; none outside of a search.

    Args:
        run: The name of the run.
    """
    if SEARCH not in os.environ:
        return []
    from en2py.sweeps.search import running_trial  # optuna takes a second

    trial = running_trial(run)
    return [] if trial is None else [PruneTrial(trial)]
