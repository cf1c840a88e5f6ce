"""Register our sweepers and launcher: Hydra looks for plugins in the package `hydra_plugins`."""

from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from en2py.sweeps import launcher, sweeper


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


class JoblibLauncher(launcher.JoblibLauncher):
    """The launcher of `hydra/launcher=joblib`."""


class OwnJoblibConfig(SearchPathPlugin):
    """Keep hydra-joblib-launcher, if it is installed, from checking the settings of ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Remove its schema after all plugins are imported; called by Hydra."""
        launcher.remove_plugin_schema()
