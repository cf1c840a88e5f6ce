"""Waiting for other ranks ends on a signal and after a time limit."""

import datetime
import os
import signal
import threading
import time

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment

from en2py.errors import Fault
from en2py.training import distributed
from en2py.training.distributed import InterruptibleDDPStrategy, cleanup_process_group
from en2py.training.signals import handle_signals


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> InterruptibleDDPStrategy:
    """Return the strategy of the first of two nodes; the second never starts."""
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("NODE_RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    for name in ("MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    strategy = InterruptibleDDPStrategy(
        parallel_devices=[torch.device("cpu")],
        cluster_environment=LightningEnvironment(),
        timeout=datetime.timedelta(seconds=10),  # ends the thread that joins
    )
    strategy.num_nodes = 2
    return strategy


def test_time_limit(
    alone: InterruptibleDDPStrategy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(distributed, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(distributed, "_LIMIT_SECONDS", 0.3)
    with pytest.raises(Fault, match="not all have joined at 127.0.0.1:"):
        alone.setup_distributed()
    assert "waiting for 2 processes on 2 node(s) to join at 127.0.0.1:" in caplog.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, None)])
def test_signal_ends_the_wait(
    alone: InterruptibleDDPStrategy,
    number: signal.Signals,
    code: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    # A shell starts processes in the background with SIGINT ignored.
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, earlier))

    def interrupt() -> None:
        while "waiting for 2 processes" not in caplog.text:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(distributed, "_QUIET_SECONDS", 0.0)
    expected = KeyboardInterrupt if code is None else SystemExit
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(expected) as caught, handle_signals():
        alone.setup_distributed()
    assert getattr(caught.value, "code", None) == code


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_trainer_of_several_devices_uses_it(strategy: str) -> None:
    trainer = Trainer(accelerator="cpu", devices=2, strategy=strategy, logger=False)
    assert type(trainer.strategy) is InterruptibleDDPStrategy


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1"),
        torch.distributed.DistBackendError("NCCL error: remote process exited"),
    ],
)
def test_a_lost_rank_is_reported_in_one_sentence(error: RuntimeError) -> None:
    with pytest.raises(Fault, match="connection to another rank broke"), cleanup_process_group():
        raise error


def test_other_errors_of_torch_keep_their_message() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot"), cleanup_process_group():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
