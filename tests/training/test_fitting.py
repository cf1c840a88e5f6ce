"""Devices that this machine has, and those that it lacks; what Lightning refuses."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.training import fitting
from en2py.training.fitting import check_devices, fit
from en2py.training.module import constructed
from tiny_transformer import module_of, transformer


@pytest.mark.parametrize(
    ("section", "n_gpus", "message"),
    [
        ({"accelerator": "gpu"}, 0, "trainer.accelerator=gpu: this machine has no such device"),
        ({"accelerator": "auto", "devices": 4}, 1, "trainer.devices=4: this machine has 1 GPU"),
        ({"accelerator": "gpu", "devices": "0,2"}, 2, "trainer.devices=0,2: .* has 2 GPUs"),
        ({"accelerator": "cuda", "devices": [3]}, 2, "has 2 GPUs"),
        ({"accelerator": "auto", "precision": "16-mixed"}, 0, "precision=16-mixed needs a GPU"),
        ({"accelerator": "cpu", "precision": 16}, 1, "precision=16 needs a GPU"),
        ({"accelerator": "auto", "devices": [1]}, 0, "devices=.1. chooses GPUs, and this machine"),
        ({"accelerator": "auto", "devices": "0,1"}, 0, "trainer.devices=0,1 chooses GPUs"),
        ({"accelerator": "cpu", "devices": [0]}, 1, "GPUs, and trainer.accelerator=cpu"),
    ],
)
def test_missing_devices_are_refused(
    section: dict[str, Any], n_gpus: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    with pytest.raises(UserError, match=message):
        check_devices(section)


@pytest.mark.parametrize(
    ("section", "n_gpus"),
    [
        ({"accelerator": "auto", "devices": 4}, 0),  # four processes on the CPU
        ({"accelerator": "cpu", "devices": 4}, 1),
        ({"accelerator": "cpu", "devices": "auto"}, 1),
        ({"accelerator": "cpu", "devices": -1}, 1),
        ({"accelerator": "auto", "devices": "2"}, 0),
        ({"accelerator": "auto", "devices": "auto"}, 2),
        ({"accelerator": "gpu", "devices": -1}, 2),
        ({"accelerator": "gpu", "devices": "2"}, 2),
        ({"accelerator": "auto", "precision": "16-mixed"}, 1),
    ],
)
def test_present_devices_are_accepted(
    section: dict[str, Any], n_gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    check_devices(section)


def test_early_stopping_by_a_metric_that_is_not_measured_is_refused() -> None:
    error = RuntimeError("Early stopping conditioned on metric `foo` which is not available.")
    with pytest.raises(UserError, match="callbacks: .*`foo` which is not available"):
        fit(Mock(**{"fit.side_effect": error}), Mock(), Mock(), None)
    with pytest.raises(RuntimeError, match="another"):
        fit(Mock(**{"fit.side_effect": RuntimeError("another")}), Mock(), Mock(), None)


@pytest.mark.parametrize("section", ["optimizer", "scheduler"])
def test_an_own_part_that_constructs_something_else_is_refused(section: str) -> None:
    part = Mock(return_value={"lr": 0.1})
    with pytest.raises(UserError, match=f"{section}: expected an LRScheduler .* returned dict"):
        constructed(section, LRScheduler, part, Mock(), total_steps=3)


def test_a_function_that_returns_no_callback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "make", lambda part: [part])
    with pytest.raises(UserError, match="callbacks.own: expected a callback .* returned list"):
        fitting.trainer(
            {
                "trainer": {"precision": "32-true", "accelerator": "cpu"},
                "callbacks": {"own": {"_target_": "own.f"}},
            },
            Path(),
            [],
        )


def test_samples_are_those_of_averaged_weights_in_any_order_of_the_config() -> None:
    callbacks = {
        "averages": {"_target_": "pytorch_lightning.callbacks.WeightAveraging"},
        "samples": {
            "_target_": "en2py.training.callbacks.samples.SampleGenerations",
            "n_samples": 2,
            "every_n_epochs": 1,
        },
    }
    saves = {"keep_every_n_epochs": None, "every_n_minutes": 1.0, "every_n_steps": None}
    faults = {"skip_batches": 0, "spike": None}
    config = {"callbacks": callbacks, "checkpoints": saves, "seed": 1, "faults": faults}
    names = [type(callback).__name__ for callback in fitting._callbacks(config, Path(), [])]
    assert names.index("SampleGenerations") < names.index("WeightAveraging")


@pytest.mark.parametrize("tying", ["none", "tgt"])
def test_a_frozen_table_that_is_the_projection_too_is_named(tying: str, tgt_vocab: Vocab) -> None:
    module = module_of(tgt_vocab, Mock(spec=nn.Module), width=16, dropout=0.0)
    module.model = transformer(tie_embeddings=tying)
    module.model.tgt_embedding.table.weight.requires_grad_(False)
    module.metadata = {"config": {"embeddings": {"freeze_epochs": 2}}}
    line = fitting.describe(module, Mock(precision="32-true"))
    words = "embeddings.freeze_epochs=2 freezes the output projection too"
    assert (words in line) == (tying == "tgt")
