"""Updates with non-finite or exploding gradients end the run or are skipped."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from en2py.training.callbacks.gradient_guard import BadUpdate, GradientGuard, Update, _message
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule
from training_runs import (
    EVERY_STEP,
    Go,
    assert_equal,
    assert_resumed_equals_uninterrupted,
    folder_of,
    metrics,
)

SHORT = ["trainer.max_epochs=2"]


def change_loss(patch: pytest.MonkeyPatch, step: int, change: Callable[[Tensor], Tensor]) -> None:
    original = Seq2SeqModule._loss

    def changed(self: Seq2SeqModule, batch: Any) -> Tensor:
        loss = original(self, batch)
        return change(loss) if self.global_step == step else loss

    patch.setattr(Seq2SeqModule, "_loss", changed)


def assert_finite(folder: Path) -> None:
    files = list((folder / "checkpoints").glob("*.ckpt"))
    assert files
    for path in files:
        weights = load_checkpoint(path)["state_dict"].values()
        assert all(torch.isfinite(w).all() for w in weights if w.is_floating_point())


def test_message_names_twenty_pairs_and_the_number_of_the_rest() -> None:
    items = [SimpleNamespace(pair=SimpleNamespace(id=f"file/{i}")) for i in range(25)]
    prepared = SimpleNamespace(splits={"train": items})
    trainer: Any = SimpleNamespace(datamodule=SimpleNamespace(prepared=prepared))
    update = Update(torch.zeros(()), 4, 0.1, [torch.arange(12), torch.arange(12, 25)])
    message = _message("not finite", update, trainer)
    assert message.count("file/") == 20 and message.endswith("file/19 and 5 more)")


def test_fp16_loss_of_each_accumulated_batch_is_checked() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    module: Any = SimpleNamespace(parameters=lambda: [weight], device=torch.device("cpu"))
    optimizer: Any = SimpleNamespace(param_groups=[{"lr": 0.1}])
    trainer: Any = SimpleNamespace(
        precision_plugin=SimpleNamespace(scaler="a scaler"), global_step=1,
        datamodule=SimpleNamespace(prepared=SimpleNamespace(splits={"train": []})),
    )  # fmt: skip
    guard = GradientGuard(skip=0)
    for _ in range(2):  # the first update is good
        guard.on_before_backward(trainer, module, torch.tensor(1.0))
    guard.on_before_optimizer_step(trainer, module, optimizer)
    guard.on_before_backward(trainer, module, torch.tensor(float("nan")))
    guard.on_before_backward(trainer, module, torch.tensor(1.0))
    with pytest.raises(BadUpdate, match="is not finite at step 1"):
        guard.on_before_optimizer_step(trainer, module, optimizer)
    guard.on_before_backward(trainer, module, torch.tensor(1.0))
    guard.on_before_optimizer_step(trainer, module, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e38])
def test_a_non_finite_loss_ends_the_run_within_one_step(
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    factor: float,
) -> None:
    change_loss(monkeypatch, 4, lambda loss: loss * factor)
    assert go(EVERY_STEP) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "not finite at step 4 (learning rate " in message
    assert message.count("file/") >= 2  # the ids of the batch's pairs
    assert "faults.skip_batches=1" in message
    assert load_checkpoint(folder_of(tmp_path) / "checkpoints" / "last.ckpt")["global_step"] == 4
    assert_finite(folder_of(tmp_path))


@pytest.mark.slow
def test_a_stopped_run_resumes_with_permission_to_skip_bad_updates(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change_loss(monkeypatch, 4, lambda loss: loss * float("nan"))
    assert go(*SHORT) == 1
    assert go(*SHORT, "faults.skip_batches=1") == 0  # the same run, by its name
    assert "skipped (1 of 1)" in capsys.readouterr().err
    assert_finite(folder_of(tmp_path))
    losses = [row["train/loss"] for row in metrics(folder_of(tmp_path)) if row["train/loss"]]
    assert len(losses) == 2 and all(0 < float(loss) < 100 for loss in losses)


@pytest.mark.slow
def test_no_more_updates_are_skipped_than_allowed(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (2, 3, 5):
        change_loss(monkeypatch, step, lambda loss: loss * float("nan"))
    assert go("faults.skip_batches=2") == 1
    streams = capsys.readouterr()
    assert streams.err.count("skipped (") == 2
    assert "at step 5" in streams.err
    assert_finite(folder_of(tmp_path))


LONG = ["trainer.max_epochs=10", "faults.spike=20"]  # the median needs 20 updates


@pytest.mark.slow
def test_a_spike_ends_the_run(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change_loss(monkeypatch, 25, lambda loss: loss * 1000)
    assert go(*LONG, EVERY_STEP) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "times their median size (faults.spike) at step 25 (learning rate " in message
    assert message.count("file/") >= 2 and "faults.skip_batches=1" in message
    last = load_checkpoint(folder_of(tmp_path) / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 25


@pytest.mark.slow
def test_a_spike_is_skipped_and_a_stopped_run_resumes_exactly(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (25, 28):
        change_loss(monkeypatch, step, lambda loss: loss * 1000)
    choices = [*LONG, "faults.skip_batches=3", EVERY_STEP]
    assert go(*choices, out="whole") == 0
    assert capsys.readouterr().err.count("skipped (") == 2
    between = 27  # the two, with most of the median's window before it
    assert_resumed_equals_uninterrupted(go, tmp_path, monkeypatch, choices, between)


@pytest.mark.slow
def test_watching_for_spikes_changes_nothing_without_spikes(go: Go, tmp_path: Path) -> None:
    assert go(out="plain") == 0
    assert go("faults.spike=1e9", out="watched") == 0
    folders = [folder_of(tmp_path, out) for out in ("plain", "watched")]
    weights = [load_checkpoint(f / "checkpoints" / "last.ckpt")["state_dict"] for f in folders]
    assert_equal(*weights)
    assert metrics(folders[0]) == metrics(folders[1])


def test_spikes_are_relative_to_the_median_of_enough_updates() -> None:
    guard = GradientGuard(skip=0, spike=10)
    assert not any(guard._problem(size) for size in [1e6, 1e-6] * 9 + [2.0])  # 19 are too few
    assert guard._problem(2.0) is None
    guard = GradientGuard(skip=0, spike=10)
    assert not any(guard._problem(2.0) for _ in range(500))
    assert len(guard.state_dict()["sizes"]) == 101
    assert guard._problem(20.0) is None
    message = guard._problem(24.0)
    assert message is not None and "12 times their median size" in message
    assert "not finite" in str(guard._problem(float("nan")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_are_not_saved(value: float) -> None:
    guard, trainer = GradientGuard(skip=0), pl.Trainer(logger=False, enable_checkpointing=False)
    weights = {"w": torch.ones(3), "n": torch.tensor(7)}
    guard.on_save_checkpoint(trainer, pl.LightningModule(), {"state_dict": weights})
    weights["w"][1] = value
    with pytest.raises(BadUpdate, match="a weight is not finite: nothing is saved"):
        guard.on_save_checkpoint(trainer, pl.LightningModule(), {"state_dict": weights})
