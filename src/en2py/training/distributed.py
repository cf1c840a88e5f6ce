"""One run on several processes (ranks): which rank writes, gathering, cleaning up.

A person or a launcher starts rank 0; Lightning or the cluster starts the others.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning.utilities import rank_zero_only
from torch import distributed

# Lightning sets these for the ranks that it starts. The next run of a sweep in the same process
# would act as one of the ranks and wait for the others.
_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_rank_zero() -> bool:
    """Return whether this process writes the files: rank 0, or the only process."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def all_gather(items: list[Any]) -> list[Any]:
    """Return the items of all ranks on every rank."""
    if not distributed.is_available() or not distributed.is_initialized():
        return items
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]


@contextmanager
def cleanup_process_group() -> Iterator[None]:
    """Destroy the process group at the end of a run, so that the process can do another run."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
