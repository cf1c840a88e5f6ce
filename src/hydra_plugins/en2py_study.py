"""The sweeper of this project, where Hydra looks for plugins: in the package `hydra_plugins`."""

from en2py.sweeps import sweeper


class StudySweeper(sweeper.StudySweeper):
    """The sweeper that `hydra/sweeper=study` names; a re-export would be unknown to Hydra."""
