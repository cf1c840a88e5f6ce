"""The clocks of training and validation do not overlap."""

import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from en2py.training.callbacks.throughput import Throughput


def test_validation_has_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    trainer: Any = SimpleNamespace(current_epoch=0, world_size=2)
    module, batch = MagicMock(), SimpleNamespace(n_tokens=100)
    clock = Throughput()
    clock.on_train_start(trainer, module)
    for _ in range(2):  # a validation in the middle of an epoch, and one at its end
        now += 4
        clock.on_train_batch_end(trainer, module, None, batch, 1)
        clock.on_validation_start(trainer, module)
        now += 2  # a checkpoint is written
        clock.on_validation_epoch_start(trainer, module)
        now += 1
        clock.on_validation_end(trainer, module)
    clock.on_train_epoch_end(trainer, module)
    logged = dict(call.args for call in module.log.call_args_list)
    assert logged == {"tokens_per_second": 50, "validation_share": 0.25}
    module.log.reset_mock()
    clock.on_train_epoch_start(trainer, module)  # resumed at the end of an epoch
    clock.on_validation_start(trainer, module)
    clock.on_validation_epoch_start(trainer, module)
    now += 1
    clock.on_validation_end(trainer, module)
    clock.on_train_epoch_end(trainer, module)
    assert not module.log.called
