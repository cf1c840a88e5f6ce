"""One run on several processes (ranks): which rank writes, gathering, cleaning up.

A person or a launcher starts rank 0; Lightning or the cluster starts the others.
"""

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.utilities import rank_zero_only
from torch import distributed

from en2py.errors import Fault

log = logging.getLogger(__name__)

# Lightning sets these for the ranks that it starts. The next run of a sweep in the same process
# would act as one of the ranks and wait for the others.
_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_BROKEN = re.compile("Connection (closed|reset) by peer")  # gloo; NCCL has errors of its own
_QUIET_SECONDS = 15.0  # wait for other ranks before saying so
_LIMIT_SECONDS = 600.0  # wait for other ranks before the run fails


class InterruptibleDDPStrategy(DDPStrategy):
    """Lightning's DDP, whose wait for the other ranks ends on a signal and after a time limit."""

    def setup_distributed(self) -> None:
        """Join the other ranks; if that is interrupted, end those that Lightning started."""
        try:
            self._join()
        except BaseException:
            if self.launcher is not None:
                self.launcher.kill(signal.SIGTERM)
            raise

    def _join(self) -> None:
        """Join the process group in a thread: torch waits in C, where no signal is handled."""
        failed: list[BaseException] = []

        def join() -> None:
            try:
                if self.root_device.type == "cuda":  # the current device belongs to the thread
                    torch.cuda.set_device(self.root_device)
                super(InterruptibleDDPStrategy, self).setup_distributed()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=join, daemon=True)
        thread.start()
        started, is_reported = time.monotonic(), False
        ranks = f"{self.num_nodes * self.num_processes} processes on {self.num_nodes} node(s)"
        while thread.is_alive():
            thread.join(0.2)
            waited = time.monotonic() - started
            if waited > _QUIET_SECONDS and not is_reported:
                is_reported = True
                log.warning(f"waiting for {ranks} to join at {self._address()}")
            if waited > _LIMIT_SECONDS:
                raise Fault(
                    f"waited {waited / 60:.0f} minutes for {ranks}, and not all have joined at "
                    f"{self._address()}: start the same command on each node, and check that this "
                    "address can be reached"
                )
        if failed:
            raise failed[0]

    def _address(self) -> str:
        environment = self.cluster_environment
        return f"{environment.main_address}:{environment.main_port}" if environment else "?"


# Lightning also uses this name for `strategy=auto` on several devices.
StrategyRegistry.register("ddp", InterruptibleDDPStrategy, override=True, start_method="popen")


def is_rank_zero() -> bool:
    """Return whether this process writes the files: rank 0, or the only process."""
    return _rank() == 0


def _rank() -> int:
    return int(getattr(rank_zero_only, "rank", 0))


def all_gather(items: list[Any]) -> list[Any]:
    """Return the items of all ranks on every rank."""
    if not distributed.is_available() or not distributed.is_initialized():
        return items
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]


@contextmanager
def cleanup_process_group() -> Iterator[None]:
    """Destroy the process group at the end of a run, so that the process can do another run.

    Raises:
        Fault: In place of torch's error, if the connection to another rank broke.
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or _BROKEN.search(str(error)):
            raise Fault(
                f"rank {_rank()}: the connection to another rank broke; that one was stopped or "
                "failed, and its own message says why; the same command resumes the run"
            ) from error
        raise
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
