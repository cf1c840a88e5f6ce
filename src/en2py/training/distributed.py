"""One run on several processes, its ranks: who writes, and what all of them found, put together.

The first rank is started by a person or a launcher; it starts the others, or the cluster does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning.utilities import rank_zero_only
from torch import distributed

# What Lightning tells the ranks that it starts; left behind, the next run of a sweep would take
# itself for one of them, and wait for the others for ever.
_TOLD = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_rank_zero() -> bool:
    """Tell whether this process is the one that writes: rank 0, or alone."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def all_gather(own: list[Any]) -> list[Any]:
    """Return the items of all ranks, on all ranks; those of this process where it is alone."""
    if not distributed.is_available() or not distributed.is_initialized():
        return own
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, own)
    return [item for part in parts for item in part]


@contextmanager
def cleanup_process_group() -> Iterator[None]:
    """Leave the group of ranks at the end of a run, so that the process can do another one."""
    before = {name: os.environ.get(name) for name in _TOLD}
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
