"""Register the sweeper: Hydra looks for plugins in the package `hydra_plugins`."""

from en2py.sweeps import sweeper


class StudySweeper(sweeper.StudySweeper):
    """The sweeper of `hydra/sweeper=study`; Hydra would not find a re-export."""
