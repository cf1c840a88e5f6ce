"""The line of an epoch."""

import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from en2py.training.callbacks.progress import TrainingProgress
from en2py.training.callbacks.throughput import Throughput, TrainingTime


def epoch(progress: TrainingProgress, trainer: Any, measured: dict[str, float]) -> None:
    """Let an epoch of two steps pass, in which metrics are measured."""
    progress.on_train_epoch_start(trainer, trainer)
    for i in range(2):
        progress.on_train_batch_end(trainer, trainer, None, None, i)
    trainer.callback_metrics.update(measured)
    progress.on_train_epoch_end(trainer, trainer)
    trainer.current_epoch += 1


def three_epochs() -> Any:
    """Return what the callback reads of a trainer, before the first of three epochs."""
    return SimpleNamespace(
        current_epoch=0,
        max_epochs=3,
        max_steps=-1,
        num_training_batches=2,
        callback_metrics={},
        callbacks=[],
        is_global_zero=True,
    )


def test_a_metric_is_shown_in_the_epoch_in_which_it_was_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    throughput = Throughput()
    monkeypatch.setattr(Throughput, "tokens_per_second", 9012.4)
    trainer = three_epochs()
    progress = TrainingProgress(throughput)
    caplog.set_level(logging.INFO, "en2py")
    monkeypatch.setattr(logging.getLogger("en2py"), "propagate", True)
    progress.on_train_start(trainer, trainer)
    monkeypatch.setattr(
        time, "monotonic", lambda: progress._started + 4 * (trainer.current_epoch + 1)
    )
    epoch(progress, trainer, {"val/nll": 2.0, "val/exact_match_renamed": 0.531})
    epoch(progress, trainer, {"val/nll": 1.5})
    epoch(progress, trainer, {})
    progress.on_train_end(trainer, trainer)
    assert [record.getMessage().replace("\u00a0", " ") for record in caplog.records[-3:]] == [
        "epoch 1/3  val/nll 2.000  val exact match up to names 53.1 %  9,012 tokens/s  8 s left",
        "epoch 2/3  val/nll 1.500  9,012 tokens/s  4 s left",
        "epoch 3/3  9,012 tokens/s",
    ]


def test_the_time_left_ends_with_max_time(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = three_epochs()
    progress = TrainingProgress(Throughput())
    progress.on_train_start(trainer, trainer)
    progress._n_batches = 2
    monkeypatch.setattr(time, "monotonic", lambda: progress._started + 10)
    assert progress._left(trainer, 2) == 20  # four batches of five seconds
    timer = TrainingTime("00:00:00:12")
    trainer.callbacks.append(timer)
    assert progress._left(trainer, 2) == 12


def test_a_training_resumed_at_the_end_of_an_epoch_has_no_estimate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = three_epochs()
    caplog.set_level(logging.INFO, "en2py")
    monkeypatch.setattr(logging.getLogger("en2py"), "propagate", True)
    monkeypatch.setattr(Throughput, "tokens_per_second", 0.0)
    progress = TrainingProgress(Throughput())
    progress.on_train_start(trainer, trainer)
    progress.on_train_epoch_start(trainer, trainer)
    trainer.callback_metrics["val/nll"] = 2.0
    progress.on_train_epoch_end(trainer, trainer)
    progress.on_train_end(trainer, trainer)
    assert caplog.records[-1].getMessage().replace("\u00a0", " ") == "epoch 1/3  val/nll 2.000"
