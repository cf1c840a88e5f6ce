"""Resuming from another run: typed settings act or are refused, and the end says its reason."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Timer

from en2py.config.composition import compose_config, job_of
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.training.callbacks.throughput import TrainingTime
from en2py.training.checkpoints import FORMAT, AtomicCheckpointIO, load_checkpoint
from en2py.training.end_reason import training_end
from en2py.training.metrics_file import MetricsFile
from en2py.training.resume import check_same_data, find_checkpoint
from en2py.training.run import Run
from training_runs import (
    EVERY_STEP,
    Go,
    Stop,
    assert_equal,
    assert_resumed_equals_uninterrupted,
    assert_same_run,
    folder_of,
    metrics,
    stop_at,
)

NO_LEARNING = "optimizer.lr=1e-30"
IMPATIENT = "callbacks.early_stopping.patience=1"


def last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.ckpt"


def result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


@pytest.fixture
def refusal(go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Start a run that is refused and writes nothing; return what it prints on stderr."""

    def start(*words: str) -> str:
        assert go(*words, out="refused") == 2
        assert not (tmp_path / "refused").exists()
        return capsys.readouterr().err

    return start


@pytest.mark.slow
def test_settings_of_optimizer_and_schedule_act_in_a_resumed_run(
    whole: tuple[Go, Path], go: Go, tmp_path: Path
) -> None:
    words = ["optimizer.lr=0.01", "optimizer.weight_decay=0.5", "optimizer.betas=[0.5,0.9]",
             "scheduler=constant", "trainer.max_epochs=4"]  # fmt: skip
    assert go(f"ckpt_path={last(whole[1])}", *words, out="resumed") == 0
    checkpoint = load_checkpoint(last(folder_of(tmp_path, "resumed")))
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.01, 0.5, (0.5, 0.9))
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == checkpoint["global_step"]


@pytest.mark.slow
def test_schedule_of_torch_continues_in_a_resumed_run(
    whole: tuple[Go, Path], go: Go, tmp_path: Path
) -> None:
    words = ["scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler.max_lr=0.01",
             "~scheduler.warmup", "~scheduler.final", "trainer.max_epochs=4"]  # fmt: skip
    assert go(f"ckpt_path={last(whole[1])}", *words, out="resumed") == 0
    checkpoint = load_checkpoint(last(folder_of(tmp_path, "resumed")))
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == checkpoint["global_step"]


def with_config(path: Path, folder: Path, section: str, values: dict[str, Any]) -> Path:
    """Return a copy of a checkpoint whose run had other values in a section."""
    content = load_checkpoint(path)
    content["en2py"]["config"][section] |= values
    AtomicCheckpointIO().save_checkpoint(content, folder / "changed.ckpt")
    return folder / "changed.ckpt"


@pytest.mark.slow
def test_tolerated_faults_are_those_of_the_checkpoint_unless_typed(
    whole: tuple[Go, Path], go: Go, tmp_path: Path
) -> None:
    path = with_config(last(whole[1]), tmp_path, "faults", {"spike": 1e6, "skip_batches": 3})
    assert go(f"ckpt_path={path}", "trainer.max_epochs=4", "faults.skip_batches=1") == 0
    config = load_checkpoint(last(folder_of(tmp_path)))["en2py"]["config"]
    assert config["faults"] == {"spike": 1e6, "skip_batches": 1}


@pytest.mark.slow
def test_value_of_a_callback_that_the_run_does_not_have_is_refused(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_config(last(whole[1]), tmp_path, "callbacks", {"samples": None})
    assert go(f"ckpt_path={path}", "trainer.max_epochs=4") == 2  # a typed value of the fixture
    error = capsys.readouterr().err
    assert error.startswith(
        "callbacks.samples.n_samples=2: the run of the checkpoint has callbacks"
    )
    assert "callbacks.samples=null; remove it, or add callbacks=default" in error
    assert error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer._target_=torch.optim.Adam", "'torch.optim.AdamW', 'torch.optim.Adam'"),
        ("+optimizer.amsgrad=true", "optimizer.amsgrad: None, True"),
        ("+trainer.limit_val_batches=1", "trainer.limit_val_batches: None, 1"),
        ("+trainer.max_steps=2", "steps, and trainer.max_steps=2 ends the training there: type a"),
        ("+trainer.max_time={seconds:0.001}", "0.001} ends the training there: type a longer time"),
    ],
)
def test_setting_that_cannot_act_is_refused(
    whole: tuple[Go, Path], refusal: Callable[..., str], word: str, message: str
) -> None:
    error = refusal(f"ckpt_path={last(whole[1])}", "trainer.max_epochs=4", word)
    assert message in error and ("init_from=" in error or "trainer.max_" in error)


SPACY = {"tgt": {"_target_": "en2py.data.tokenizers.SpacyPythonTokenizer"}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "stored", "word", "message"),
    [
        (
            "embeddings",
            {"freeze_epochs": 2},
            "+trainer.strategy=ddp",
            "would differ between the proc",
        ),
        ("tokenizer", SPACY, "decoding.grammar=true", "needs tokens of Python's tokenizer, not"),
    ],
)
def test_setting_that_contradicts_those_of_the_checkpoint_is_refused(
    whole: tuple[Go, Path],
    refusal: Callable[..., str],
    tmp_path: Path,
    section: str,
    stored: dict[str, Any],
    word: str,
    message: str,
) -> None:
    path = with_config(last(whole[1]), tmp_path, section, stored)
    assert message in refusal(f"ckpt_path={path}", "trainer.max_epochs=4", word)


@pytest.mark.slow
def test_rate_without_effect_is_refused_in_a_resumed_run(
    whole: tuple[Go, Path], refusal: Callable[..., str]
) -> None:
    words = [f"ckpt_path={last(whole[1])}", "trainer.max_epochs=4", "optimizer.lr=0.1"]
    message = "optimizer.lr=0.1: scheduler=noam sets the rate itself"
    assert message in refusal(*words, "scheduler=noam")


@pytest.mark.slow
@pytest.mark.parametrize("word", ["trainer.accumulate_grad_batches=2", "batch.max_tokens=100"])
def test_schedule_follows_the_share_of_training_done(
    whole: tuple[Go, Path],
    go: Go,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    word: str,
) -> None:
    words = [f"ckpt_path={last(whole[1])}", "trainer.max_epochs=6", word]
    assert go(*words, out="resumed") == 0
    checkpoint = load_checkpoint(last(folder_of(tmp_path, "resumed")))
    added = checkpoint["global_step"] - load_checkpoint(last(whole[1]))["global_step"]
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == 2 * added  # three of six epochs
    assert "the share of training that is done" in capsys.readouterr().err


@pytest.mark.slow
def test_other_batches_inside_an_epoch_are_refused(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 3)
        with pytest.raises(Stop):
            go(EVERY_STEP, out="stopped")
    words = [f"ckpt_path={last(folder_of(tmp_path, 'stopped'))}", "batch.max_tokens=100"]
    assert go(*words, out="resumed") == 2
    assert "inside an epoch of" in capsys.readouterr().err


@pytest.mark.slow
def test_changed_patience_counts_anew_and_the_end_says_so(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"ckpt_path={last(whole[1])}", "trainer.max_epochs=9", NO_LEARNING, IMPATIENT]
    assert go(*words, out="resumed") == 0
    end = "stopped early after 5 epochs: val/nll did not improve for 1"
    assert f"training {end}" in capsys.readouterr().out
    assert result(folder_of(tmp_path, "resumed"))["end"] == end


@pytest.mark.slow
def test_early_stopped_run_that_is_killed_before_its_test_does_not_train_further(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [NO_LEARNING, IMPATIENT]
    assert go(*words, out="whole") == 0
    with monkeypatch.context() as patch:
        stop_at(patch, "test_step", 1)
        with pytest.raises(Stop):
            go(*words, out="stopped")
    assert go(*words, out="stopped") == 0
    assert result(folder_of(tmp_path, "stopped"))["epochs"] == 2
    assert_same_run(folder_of(tmp_path, "whole"), folder_of(tmp_path, "stopped"))


@pytest.mark.slow
def test_run_that_is_to_stop_after_min_epochs_resumes_exactly(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant = "scheduler=constant"
    assert go(constant, "trainer.max_epochs=4", out="before") == 0
    rows = metrics(folder_of(tmp_path, "before"))
    first, _, third, fourth = (float(row["val/nll"]) for row in rows if row["val/nll"])
    min_delta = first - (third + fourth) / 2  # the fourth epoch is the only one to improve
    words = [constant, "trainer.max_epochs=7", "+trainer.min_epochs=5",
             "callbacks.early_stopping.patience=2",
             f"+callbacks.early_stopping.min_delta={min_delta}"]  # fmt: skip
    assert go(*words, out="whole") == 0
    assert result(folder_of(tmp_path, "whole"))["epochs"] == 5
    assert_resumed_equals_uninterrupted(go, tmp_path, monkeypatch, words, 14, EVERY_STEP)


@pytest.mark.slow
def test_run_with_max_steps_resumes_exactly_after_an_epoch(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("+trainer.limit_train_batches=2", "+trainer.max_steps=5", "trainer.max_epochs=9")
    assert go(*words, out="whole") == 0
    assert "stopped after 5 updates" in result(folder_of(tmp_path, "whole"))["end"]
    assert_resumed_equals_uninterrupted(go, tmp_path, monkeypatch, words, 3)


class Seconds(TrainingTime):
    """A time in which each update takes a second."""

    n = 0.0

    def time_elapsed(self, stage: str = "train") -> float:
        return self._offset + self.n

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.n += 1
        super().on_train_batch_end(*args, **kwargs)

    @property
    def state_key(self) -> str:
        return "TrainingTime"


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["+trainer.max_steps=2", "+trainer.max_time={seconds:2}"])
@pytest.mark.parametrize("every", [1, 3])
def test_run_that_a_limit_ends_validates_also_after_a_stop_there(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, every: int
) -> None:
    monkeypatch.setattr("en2py.training.fitting.TrainingTime", Seconds)
    epochs = f"+trainer.check_val_every_n_epoch={every}"
    words = (limit, epochs, "trainer.max_epochs=9", EVERY_STEP)
    assert go(*words, out="whole") == 0
    assert "val/nll" in result(folder_of(tmp_path, "whole"))["best"]
    with monkeypatch.context() as patch:
        stop_at(patch, "validation_step", 1)
        with pytest.raises(Stop):
            go(*words, out="stopped")
    assert go(*words, out="stopped") == 0
    assert_same_run(folder_of(tmp_path, "whole"), folder_of(tmp_path, "stopped"))


@pytest.mark.slow
def test_epoch_after_one_that_max_steps_ended_has_all_batches(go: Go, tmp_path: Path) -> None:
    batches = "+trainer.limit_train_batches=3"
    assert go(batches, "+trainer.max_steps=4", out="short") == 0
    words = [f"ckpt_path={last(folder_of(tmp_path, 'short'))}", "trainer.max_epochs=3"]
    assert go(*words, "+trainer.max_steps=100", out="resumed") == 0
    assert result(folder_of(tmp_path, "resumed"))["steps"] == 4 + 3


@pytest.mark.slow
def test_run_resumed_without_averaging_continues_the_weights_that_were_trained(
    go: Go, tmp_path: Path
) -> None:
    assert go("callbacks=ema", "trainer.max_epochs=1", out="averaged") == 0
    path = last(folder_of(tmp_path, "averaged"))
    words = [f"ckpt_path={path}", "callbacks=default", "trainer.max_epochs=2", NO_LEARNING]
    assert go(*words, out="resumed") == 0
    before = load_checkpoint(path)
    weights = {n: w for n, w in before["current_model_state"].items() if n.startswith("model.")}
    after = load_checkpoint(last(folder_of(tmp_path, "resumed")))["state_dict"]
    assert_equal(weights, {name: after[name] for name in weights})
    assert any(not torch.equal(before["state_dict"][name], w) for name, w in weights.items())


@pytest.mark.slow
def test_a_resumed_run_has_the_loggers_of_its_command_and_names_them(
    whole: tuple[Go, Path], tmp_path: Path
) -> None:
    words = [f"ckpt_path={last(whole[1])}", "trainer.max_epochs=4", f"output={tmp_path}"]
    with job_of(compose_config("train", words)) as cfg:
        run = Run.of_job(cfg)
    assert load_checkpoint(last(whole[1]))["en2py"]["choices"]["logger"] == "csv"
    assert (run.choices["logger"], list(run.config["logger"])) == ("wandb", ["wandb"])


@pytest.mark.slow
def test_option_of_the_trainer_sets_batches_and_callbacks_in_a_resumed_run(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, "training_step", 1)
    words = ["trainer=overfit", "trainer.max_epochs=4", "batch.max_tokens=150"]
    with pytest.raises(Stop):
        go(f"ckpt_path={last(whole[1])}", *words, out="resumed")
    config = OmegaConf.load(folder_of(tmp_path, "resumed") / "config.yaml")
    assert (config.batch.max_pairs, config.callbacks.early_stopping) == (64, None)
    assert (config.trainer.max_epochs, config.batch.max_tokens) == (4, 150)


@pytest.mark.slow
def test_best_value_is_that_of_the_tested_checkpoint(
    whole: tuple[Go, Path], go: Go, tmp_path: Path
) -> None:
    words = [f"ckpt_path={last(whole[1])}", "trainer.max_epochs=4", NO_LEARNING]
    assert go(*words, out="resumed") == 0
    folder, before = folder_of(tmp_path, "resumed"), result(whole[1])["best"]
    assert load_checkpoint(folder / "checkpoints" / "best.ckpt")["en2py"]["run"] == whole[1].name
    assert result(folder)["best"] == before
    assert [row["epoch"] for row in metrics(folder) if row["val/nll"]] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("changed", ["split_hash", "src_vocab", "tgt_vocab"])
def test_other_pairs_or_tokens_than_those_of_the_checkpoint_are_refused(
    src_vocab: Vocab, tgt_vocab: Vocab, changed: str
) -> None:
    prepared: Any = SimpleNamespace(split_hash="a", src_vocab=src_vocab, tgt_vocab=tgt_vocab)
    stored = {"split_hash": "a", "src_vocab": src_vocab.to_dict(), "tgt_vocab": tgt_vocab.to_dict()}
    check_same_data({"en2py": stored}, prepared)
    other = {"split_hash": "b"}.get(changed, {"tokens": src_vocab.tokens[::-1]})
    with pytest.raises(UserError, match="was trained on other data"):
        check_same_data({"en2py": stored | {changed: other}}, prepared)


@pytest.mark.slow
def test_a_resumed_run_knows_the_initial_weights_of_its_checkpoint(
    whole: tuple[Go, Path], tmp_path: Path
) -> None:
    content = load_checkpoint(last(whole[1]))
    content["en2py"]["config"]["init_from"] = "pretrained.ckpt"
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "last.ckpt")
    words = [f"ckpt_path={tmp_path / 'last.ckpt'}", "trainer.max_epochs=4", f"output={tmp_path}"]
    with job_of(compose_config("train", words)) as cfg:
        run = Run.of_job(cfg)
    assert run.config["init_from"] == "pretrained.ckpt" and run.initial is None


BEST_EPOCH = 1  # from 0


@pytest.mark.parametrize(
    ("restored_best", "has_metrics", "expected"),
    [
        (BEST_EPOCH, True, ["1", "2"]),
        (BEST_EPOCH, False, ["2"]),  # files without the folder of their run
        (0, True, []),  # the checkpoint is from before the best epoch
    ],
)
def test_best_checkpoint_is_copied_with_its_metrics_unless_it_is_later(
    tmp_path: Path, restored_best: int, has_metrics: bool, expected: list[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    best = {"epoch": BEST_EPOCH, "global_step": 20, "en2py": {"format": FORMAT, "config": {}}}
    AtomicCheckpointIO().save_checkpoint(best, old / "checkpoints" / "best.ckpt")
    if has_metrics:
        rows = "9,1,0.6\n19,2,0.5\n29,3,0.7\n"
        (old / "metrics.csv").write_text(f"step,epoch,val/nll\n{rows}")
    named = {"callbacks": {"BestCheckpoint": {"value": 0.5, "epoch": restored_best}}}
    assert find_checkpoint(new, named, str(last(old))) == (named, str(last(old)))
    assert (new / "checkpoints" / "best.ckpt").exists() == bool(expected)
    kept = MetricsFile(new / "metrics.csv", until_step=20).rows
    assert [row["epoch"] for row in kept] == expected
    assert not kept or kept[-1] == {"step": "19", "epoch": "2", "val/nll": "0.5"}


def test_a_damaged_checkpoint_that_is_newer_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoints"
    metadata = {"format": FORMAT, "config": {}}
    content = {"optimizer_states": [], "epoch": 1, "global_step": 20, "en2py": metadata}
    AtomicCheckpointIO().save_checkpoint(content, folder / "best.ckpt")
    (folder / "last.ckpt").write_bytes(b"half")
    os.utime(folder / "best.ckpt", (1, 1))
    assert find_checkpoint(tmp_path, None, None)[1] == str(folder / "best.ckpt")
    assert caplog.messages[-1].endswith(
        "last.ckpt cannot be read, so the run resumes from best.ckpt"
    )
    (folder / "best.ckpt").unlink()
    assert find_checkpoint(tmp_path, None, None) == (None, None)
    assert caplog.messages[-1].endswith("last.ckpt cannot be read, so the run starts again")


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "call"), [("training_step", 8), ("test_step", 1)])
def test_a_damaged_best_checkpoint_is_replaced_by_a_later_one(
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hook: str,
    call: int,
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, hook, call)
        with pytest.raises(Stop):
            go(NO_LEARNING)
    best = folder_of(tmp_path) / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:-1])
    assert go(NO_LEARNING) == 0
    assert "best.ckpt was damaged and is best.damaged now" in caplog.text
    assert result(folder_of(tmp_path))["best"]["epoch"] == 3


def test_end_of_training_names_max_time() -> None:
    timer: Any = Timer(timedelta(seconds=0))
    progress = SimpleNamespace(current=SimpleNamespace(completed=2))
    trainer: Any = SimpleNamespace(
        current_epoch=1, max_epochs=3, max_steps=-1, callbacks=[timer], early_stopping_callbacks=[],
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
        num_training_batches=2,
    )  # fmt: skip
    assert training_end(trainer) == "stopped after 1 epoch: trainer.max_time is reached"
    trainer.max_epochs = 1
    assert training_end(trainer) == "completed 1 epoch"
    trainer.num_training_batches = 3  # the time was over within the last epoch
    assert training_end(trainer) == "stopped after 1 epoch: trainer.max_time is reached"
