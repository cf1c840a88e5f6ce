"""The launcher: refused settings, and workers of each backend."""

import os
from typing import Any

import pytest
from joblib import Parallel, delayed, parallel_config
from omegaconf import OmegaConf

from en2py.config.composition import share_of
from en2py.errors import UserError
from en2py.sweeps.launcher import JoblibLauncher, check_launcher

SECTION = {"_target_": "x", "n_jobs": 2, "backend": "loky"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_jobs": 0}, "hydra.launcher.n_jobs=0: expected a number above 0"),
        ({"backend": "threading"}, "hydra.launcher.backend=threading: expected 'loky'"),
        ({"cores": "all"}, "hydra.launcher.cores=all: expected a whole number"),
        ({"address": "auto"}, "hydra.launcher.address=auto: backend=loky starts processes"),
        ({"gpus": 1, "backend": "dask"}, "hydra.launcher.gpus=1: only Ray reserves GPUs"),
    ],
)
def test_setting_of_the_launcher_that_cannot_act_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_launcher({**SECTION, **changes})


def test_settings_of_a_cluster_are_accepted() -> None:
    check_launcher({**SECTION, "backend": "ray", "address": "auto", "cores": 4, "gpus": 0.5})


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_backend_that_is_not_installed_is_refused_with_its_extra(
    backend: Any, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = f'{package} is not installed; pip install -e ".\\[{backend}\\]" installs it'
    with pytest.raises(UserError, match=message):
        JoblibLauncher(n_jobs=2, backend=backend).setup(
            hydra_context=None,  # type: ignore[arg-type]
            task_function=None,  # type: ignore[arg-type]
            config=OmegaConf.create({"hydra": {"launcher": {**SECTION, "backend": backend}}}),
        )


def test_cores_of_a_run_may_be_set() -> None:
    assert share_of({"n_jobs": 2, "cores": 7}) == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "package"), [("loky", "joblib"), ("dask", "distributed"), ("ray", "ray")]
)
def test_backend_runs_jobs_in_other_processes(backend: Any, package: str) -> None:
    pytest.importorskip(package)
    launcher = JoblibLauncher(n_jobs=2, backend=backend)
    with launcher._cluster() as settings, parallel_config(**settings):
        pids = Parallel(n_jobs=2, batch_size=1)(delayed(os.getpid)() for _ in range(2))
    assert os.getpid() not in pids


@pytest.mark.parametrize(
    ("backend", "address"), [("ray", "ray://127.0.0.1:1"), ("dask", "127.0.0.1:1")]
)
def test_cluster_that_does_not_answer_is_reported_in_one_sentence(
    backend: Any, address: str
) -> None:
    launcher = JoblibLauncher(n_jobs=2, backend=backend, address=address)
    with pytest.raises(UserError, match=f"hydra.launcher.address={address}: no {backend} cluster"):
        with launcher._cluster():
            pass
