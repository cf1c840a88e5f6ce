"""Launch several runs of a sweep at once: on this machine, or on a Ray or Dask cluster.

joblib distributes the runs, by processes of its own (`loky`) or by its backends for clusters.
"""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from pydantic import PositiveFloat, PositiveInt

from en2py.config.argument_types import check_settings
from en2py.errors import UserError, check_installed, one_line

Backend = Literal["loky", "ray", "dask"]
_PACKAGES = {"ray": "ray", "dask": "distributed"}
_ENVIRONMENT = "EN2PY_"  # variables that the runs need on other machines too


class JoblibLauncher(Launcher):
    """Launch runs by joblib.

    Args:
        n_jobs: Runs at once.
        backend: `loky` starts processes on this machine; `ray` and `dask` use a cluster.
        address: Of a running cluster, `auto` or `ray://HOST:10001`, `tcp://HOST:8786`; None starts
            a cluster of `n_jobs` workers on this machine.
        cores: Of one run; None: the cores of its machine divided by `n_jobs`.
        gpus: Of one run, which Ray reserves; a fraction shares one.
    """

    def __init__(
        self,
        n_jobs: PositiveInt,
        backend: Backend = "loky",
        address: str | None = None,
        cores: PositiveInt | None = None,
        gpus: PositiveFloat | None = None,
    ) -> None:
        self.n_jobs, self.backend, self.address = n_jobs, backend, address
        self.cores, self.gpus = cores, gpus

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a run needs; called by Hydra."""
        self.hydra_context, self.config, self.task = hydra_context, config, task_function
        check_launcher(config.hydra.launcher)
        if package := _PACKAGES.get(self.backend):
            check_installed(f"hydra.launcher.backend={self.backend}", package, self.backend)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what they return, in order."""
        from joblib import Parallel, delayed, parallel_config

        setup_globals()
        environment = {k: v for k, v in os.environ.items() if k.startswith(_ENVIRONMENT)}
        state = Singleton.get_state()
        with self._cluster() as settings, parallel_config(**settings):
            returned: list[JobReturn] = Parallel(n_jobs=self.n_jobs, batch_size=1)(
                delayed(_execute)(
                    initial_job_idx + i,
                    list(overrides),
                    self.hydra_context,
                    self.config,
                    self.task,
                    state,
                    environment,
                )
                for i, overrides in enumerate(job_overrides)
            )
        return returned

    @contextmanager
    def _cluster(self) -> Iterator[dict[str, Any]]:
        """Connect to the cluster, or start one; yield the settings of joblib."""
        _check_reachable(self.backend, self.address)
        if self.backend == "ray":
            yield from self._ray()
        elif self.backend == "dask":
            yield from self._dask()
        else:
            yield {"backend": "loky"}

    def _ray(self) -> Iterator[dict[str, Any]]:
        import ray
        from ray.util.joblib import register_ray

        wanted = {"num_cpus": self.cores or 1, "num_gpus": self.gpus or 0}
        local = {"num_cpus": self.n_jobs * wanted["num_cpus"], "include_dashboard": False}
        handler = signal.getsignal(signal.SIGTERM)  # Ray replaces it
        try:
            ray.init(
                address=self.address or "local",
                logging_level=logging.ERROR,
                **({} if self.address else local),
            )
        except (ConnectionError, ValueError) as error:
            raise _unreachable("ray", self.address, error) from error
        signal.signal(signal.SIGTERM, handler)
        register_ray()
        try:
            yield {"backend": "ray", "ray_remote_args": wanted}
        finally:
            ray.shutdown()

    def _dask(self) -> Iterator[dict[str, Any]]:
        import dask
        from distributed import Client, LocalCluster

        # A run starts processes of its own, which a daemon may not.
        with contextlib.ExitStack() as stack:
            stack.enter_context(dask.config.set({"distributed.worker.daemon": False}))
            where: Any = self.address
            if where is None:
                cluster = LocalCluster(
                    n_workers=self.n_jobs,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
                where = stack.enter_context(cluster)
            try:
                stack.enter_context(Client(where, timeout=20))
            except (OSError, ValueError) as error:
                raise _unreachable("dask", self.address, error) from error
            yield {"backend": "dask"}


def check_launcher(section: Mapping[str, Any]) -> None:
    """Refuse settings of the launcher that have a wrong type or could not act.

    Raises:
        UserError: With key, value and remedy.
    """
    check_settings(JoblibLauncher, "hydra.launcher", section)
    backend = section["backend"]
    if section.get("address") is not None and backend == "loky":
        clusters = " or ".join(f"hydra.launcher.backend={b}" for b in get_args(Backend)[1:])
        raise UserError(
            f"hydra.launcher.address={section['address']}: backend=loky starts processes on this "
            f"machine; add {clusters}"
        )
    if section.get("gpus") is not None and backend != "ray":
        raise UserError(
            f"hydra.launcher.gpus={section['gpus']}: only Ray reserves GPUs; add "
            "hydra.launcher.backend=ray"
        )


def remove_plugin_schema() -> None:
    """Remove the schema of hydra-joblib-launcher: its launcher has our name, not our settings."""
    launchers = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    launchers.pop("joblib.yaml", None)


def _check_reachable(backend: str, address: str | None) -> None:
    """Connect to the port of an address; Ray itself would wait for five minutes."""
    parts = urlsplit(address if address and "://" in address else f"//{address}")
    if parts.hostname and parts.port:
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=10).close()
        except OSError as error:
            raise _unreachable(backend, address, error) from error


def _unreachable(backend: str, address: str | None, error: Exception) -> UserError:
    return UserError(
        f"hydra.launcher.address={address}: no {backend} cluster answers "
        f"({one_line(error)[:200]}); start one, or leave the address out for a cluster on this "
        "machine"
    )


def _execute(
    index: int,
    overrides: list[str],
    hydra_context: HydraContext,
    config: DictConfig,
    task: TaskFunction,
    state: dict[Any, Any],
    environment: dict[str, str],
) -> JobReturn:
    """Run one job in a worker process, with Hydra's state of the process that launches."""
    os.environ.update(environment)
    setup_globals()
    Singleton.set_state(state)
    remove_plugin_schema()
    job_config = hydra_context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job_config):
        job_config.hydra.job.id = f"{job_config.hydra.job.name}_{index}"
        job_config.hydra.job.num = index
    HydraConfig.instance().set_config(job_config)
    return run_job(
        hydra_context=hydra_context,
        config=job_config,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
