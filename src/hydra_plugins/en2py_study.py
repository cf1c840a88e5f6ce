"""Register our sweepers: Hydra looks for plugins in the package `hydra_plugins`."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from en2py.sweeps import sweeper


class StudySweeper(sweeper.StudySweeper):
    """The sweeper of `hydra/sweeper=study`; Hydra would not find a re-export."""


class SearchSweeper(Sweeper):
    """The sweeper of `hydra/sweeper=search`.

    Hydra imports this module in each command; only a search takes a second to import Optuna.

    Args:
        settings: Arguments of `en2py.sweeps.search.SearchSweeper`.
    """

    def __init__(self, **settings: Any) -> None:
        from en2py.sweeps import search

        self.search = search.SearchSweeper(**settings)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the launcher; called by Hydra."""
        self.search.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search."""
        return self.search.sweep(arguments)
