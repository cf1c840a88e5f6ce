"""Every argument of Lightning's Trainer acts, or is refused before training with a reason."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from en2py.config.composition import compose_config, without_hydra
from en2py.config.validation import validate
from en2py.config.value_types import REFUSED_TRAINER_ARGUMENTS
from en2py.errors import UserError
from training_runs import EVERY_STEP, Go, assert_resumed_equals_uninterrupted, folder_of, metrics

ARGUMENTS = [name for name in inspect.signature(pl.Trainer.__init__).parameters if name != "self"]
# For each accepted argument the values of one run.
ACCEPTED: dict[str, Any] = {
    "accelerator": "cpu",
    "strategy": "auto",
    "devices": -1,
    "num_nodes": 1,
    "precision": "bf16",
    "max_epochs": -1,
    "min_epochs": 1,
    "max_steps": 5,
    "log_every_n_steps": 1,
    "min_steps": 2,
    "max_time": "00:01:00:00",
    "limit_train_batches": 0.9,
    "limit_val_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": 1,
    "enable_model_summary": True,
    "accumulate_grad_batches": 2,
    "gradient_clip_val": 0.5,
    "gradient_clip_algorithm": "value",
    "deterministic": True,
    "benchmark": True,
    "inference_mode": False,
    "use_distributed_sampler": False,
    "profiler": "simple",
    "detect_anomaly": True,
}


@pytest.fixture(autouse=True)
def _no_config_left() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def config(**values: Any) -> DictConfig:
    composed = compose_config("train", ["trainer.accelerator=cpu"])
    HydraConfig.instance().set_config(composed)
    cfg = without_hydra(composed)
    for key, value in values.items():
        OmegaConf.update(cfg, key if "." in key else f"trainer.{key}", value, force_add=True)
    return cfg


def refused(**values: Any) -> str:
    with pytest.raises(UserError) as caught:
        validate(config(**values))
    return str(caught.value)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_argument_is_accepted_or_refused(name: str) -> None:
    """A new argument of Lightning needs a decision."""
    assert (name in ACCEPTED) != (name in REFUSED_TRAINER_ARGUMENTS)
    if name in ACCEPTED:
        validate(config(max_epochs=1) if name == "max_epochs" else config(**{name: ACCEPTED[name]}))
    else:
        value = "text" if name == "default_root_dir" else False
        assert refused(**{name: value}).startswith(f"trainer.{name}=")


def test_decisions_are_about_arguments_that_exist() -> None:
    assert {*ACCEPTED, *REFUSED_TRAINER_ARGUMENTS} == {*ARGUMENTS}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"precision": "64"}, "'32-true', 'bf16-mixed', '16-mixed'"),
        ({"precision": "16-true"}, "expected 'auto'"),
        ({"precision": "bf16-true"}, "expected 'auto'"),
        ({"precision": "16-mixed"}, "add optimizer.fused=false"),
        ({"max_epochs": -1}, "set one of trainer.max_epochs and +trainer.max_steps"),
        ({"max_epochs": -1, "max_time": "00:01:00:00"}, "schedule needs a number"),
        ({"max_epochs": None}, "expected a whole number or -1"),
        ({"max_steps": None}, "expected a whole number or -1"),
        ({"max_epochs": 2, "min_epochs": 3}, "trainer.min_epochs=3: above trainer.max_epochs=2"),
        ({"max_steps": 2, "min_steps": 3}, "trainer.min_steps=3: above trainer.max_steps=2"),
        ({"min_epochs": -3}, "above 0"),
        ({"max_time": "90"}, "max_time=90: expected days:hours:minutes:seconds as 00:01:30:00"),
        ({"max_time": "00:00:00:00"}, "or '{hours: 1.5}', above 0"),
        ({"max_time": {"hours": -1}}, "or '{hours: 1.5}', above 0"),
        ({"max_time": {"hour": 1}}, "expected days:hours:minutes:seconds as 00:01:30:00"),
        ({"limit_train_batches": 0}, "above 0"),
        ({"limit_train_batches": 1.5}, "at most 1"),
        ({"limit_val_batches": 0}, "add callbacks.early_stopping=null"),
        ({"val_check_interval": 0.5}, "trainer.check_val_every_n_epoch=N validates less often"),
        ({"check_val_every_n_epoch": None}, "=null: expected a whole number"),
        ({"check_val_every_n_epoch": 0}, "above 0"),
        ({"check_val_every_n_epoch": 4, "max_epochs": 3}, "so there is no validation"),
        (
            {
                "check_val_every_n_epoch": 2,
                "callbacks.early_stopping.check_on_train_epoch_end": True,
            },
            "not every epoch has a validation",
        ),
        ({"num_sanity_val_steps": -3}, "at least 0 or -1"),
        ({"devices": 0}, "above 0"),
        ({"devices": []}, "at least one value"),
        ({"devices": "abc"}, "trainer.devices=abc"),
        ({"accelerator": "tpu"}, "expected 'auto', 'cpu', 'gpu', 'cuda' or 'mps'"),
        ({"strategy": "fsdp"}, "expected 'auto' or 'ddp'"),
        ({"use_distributed_sampler": True}, "expected False"),
        ({"profiler": "xla"}, "'simple', 'advanced' or 'pytorch'"),
        ({"gradient_clip_algorithm": "abc"}, "'norm' or 'value'"),
        ({"devices": 2, "embeddings.freeze_epochs": 2}, "would differ between the processes"),
        (
            {"accumulate_grad_batches": 2, "optimizer._target_": "torch.optim.LBFGS"},
            "LBFGS evaluates the last batch of an update several times",
        ),
    ],
    ids=str,
)
def test_value_is_refused(values: dict[str, Any], expected: str) -> None:
    message = refused(**values)
    assert expected in message and "\n" not in message


def test_several_nodes_need_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert "no launcher starts processes on other nodes" in refused(num_nodes=2)
    monkeypatch.setenv("NODE_RANK", "0")
    validate(config(num_nodes=2))


@pytest.mark.parametrize("name", ["max_epochs", "accelerator", "precision"])
def test_needed_argument(name: str) -> None:
    cfg = config()
    with open_dict(cfg):
        del cfg.trainer[name]
    with pytest.raises(UserError, match=f"trainer.{name} is needed"):
        validate(cfg)


@pytest.mark.slow
def test_accepted_arguments_train_in_one_run(go: Go, tmp_path: Path) -> None:
    words = [f"++trainer.{name}={value}" for name, value in ACCEPTED.items()]
    assert go(*words, "batch.max_tokens=60") == 0
    rows = metrics(folder_of(tmp_path))
    assert [row["step"] for row in rows if row["val/nll"]] == ["4"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["+trainer.max_time={minuts:1}"], "'minuts'"),
        (["trainer.precision=16-mixed", "optimizer.fused=false"], "needs a GPU"),
        (["+optimizer.foreach=true"], "optimizer: torch refuses these settings: `fused` and"),
    ],
    ids=str,
)
def test_lightning_refuses_before_training(
    go: Go, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert go(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert expected in error


@pytest.mark.slow
def test_run_without_validation(go: Go, tmp_path: Path) -> None:
    assert go("+trainer.limit_val_batches=0", "callbacks.early_stopping=null") == 0
    assert (folder_of(tmp_path) / "result.json").exists()


@pytest.mark.slow
def test_a_limit_above_the_number_of_validation_batches_leaves_no_pair_out(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("+trainer.limit_val_batches=99") == 0
    assert json.loads((folder_of(tmp_path) / "result.json").read_text())["validation_limit"] == ""
    assert "not over all validation pairs" not in capsys.readouterr().out


@pytest.mark.slow
def test_last_step_within_an_epoch_is_validated(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["batch.max_tokens=60", "trainer.max_epochs=-1", "+trainer.max_steps=4"]
    assert go(*words, out="whole") == 0
    (row,) = (row for row in metrics(folder_of(tmp_path, "whole")) if row.get("val/nll"))
    assert row["step"] == "3"
    assert_resumed_equals_uninterrupted(go, tmp_path, monkeypatch, words, 3, EVERY_STEP)
