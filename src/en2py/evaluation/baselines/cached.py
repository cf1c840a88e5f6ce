"""Programs of baselines, cached with the data."""

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from en2py.config.run_name import canonical
from en2py.data.cache import cached
from en2py.data.files import file_digest
from en2py.data.pairs import Pair
from en2py.evaluation.behaviour.cached import execution_key
from en2py.evaluation.execution.runner import ProgramRunner
from en2py.evaluation.scores import TrainingData

_HERE = Path(__file__).parent
_LIBRARIES = ("numpy", "scipy")  # that of scikit-learn is a part of every key


def baseline_programs(
    baseline: Callable[[Sequence[Pair], Sequence[Pair]], list[str]],
    settings: Mapping[str, Any],
    training: TrainingData,
    pairs: Sequence[Pair],
    runner: ProgramRunner,
) -> list[str]:
    """Return a baseline's program for each pair, from the cache if it is there.

    Args:
        baseline: Called as `f(train, test)`.
        settings: Its section of the config.
        training: The training data.
        pairs: The pairs.
        runner: Its cache is used; its sandbox is that of baselines that execute programs.
    """
    key = {
        "baseline": canonical({**settings, "sandbox": None, "cache": None}),
        "training": training.digest,
        "pairs": [[pair.id, pair.family, pair.description, pair.code] for pair in pairs],
        **execution_key(runner.sandbox),
        "code": [file_digest(folder) for folder in (_HERE, _HERE.parent / "metrics")],
        "libraries": [metadata.version(name) for name in _LIBRARIES],
    }
    return cached(runner.folder, "baseline", key, lambda: baseline(training.pairs, pairs))
