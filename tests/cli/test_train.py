"""Small runs through the command line."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock, Timeout

from en2py.training import fitting, wandb_logger
from en2py.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from en2py.training.module import Seq2SeqModule
from en2py.training.run_folder import lock_file, read_result
from training_runs import (
    EVERY_STEP,
    Go,
    Stop,
    assert_equal,
    assert_resumed_equals_uninterrupted,
    assert_resumes_exactly,
    assert_same_run,
    folder_of,
    metrics,
    stop_at,
)


@pytest.mark.slow
def test_run_writes_all_documented_files(whole: tuple[Go, Path]) -> None:
    folder = whole[1]
    assert folder.name.startswith("file-tiny-none-plain-seed1-")
    for name in ("config.yaml", "overrides.txt", "metrics.csv", "curves.png", "data_report.json",
                 "samples.md", "predictions.jsonl", "result.json", "vocab/src.json",
                 "vocab/tgt.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name
    result = json.loads((folder / "result.json").read_text())
    assert {"nll", "exact_match_renamed", "compiles", "bleu"} <= result["test"].keys()
    assert {"val/nll", "train/nll", "gap/nll", "val/bpc"} <= result["best"].keys()
    assert (result["device"], result["world_size"]) == ("cpu", 1)
    assert result["precision"] in ("32-true", "bf16-mixed")  # as resolved


@pytest.mark.slow
def test_finished_run_prints_its_stored_result(
    whole: tuple[Go, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    go, folder = whole
    before = (folder / "result.json").read_bytes()
    stop_at(monkeypatch, "training_step", 1)
    assert go() == 0
    assert "this run is finished" in capsys.readouterr().out
    assert (folder / "result.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_finished_run_names_the_settings_that_do_not_act_on_it(
    whole: tuple[Go, Path], sweep: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    words = ("behaviour=true", "sandbox.timeout_s=1", "logger=wandb", "processes=2")
    assert go(*sweep, *words) == 0
    message = capsys.readouterr().err
    place = folder.parent if sweep else folder
    remedy = f"evaluate.py ckpt_path={place} behaviour=true sandbox.timeout_s=1.0 computes"
    assert "the scores are those of behaviour=false, sandbox.timeout_s=5.0; " in message
    assert remedy in message and "logger=wandb acts on the training alone" in message
    assert message.count("warning") == 2
    assert go(*sweep, "checkpoints.keep=all", "logger=csv", "processes=2") == 0
    assert not capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_run_of_another_python_version_counts_as_finished_if_its_splits_are_equal(
    go: Go, tmp_path: Path, sweep: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("trainer.max_epochs=1") == 0
    file = folder_of(tmp_path) / "result.json"
    result = json.loads(file.read_text()) | {"python": "3.5"}
    file.write_text(json.dumps(result))
    assert go("trainer.max_epochs=1", *sweep) == 0
    assert "this run is finished" in capsys.readouterr().out
    file.write_text(json.dumps(result | {"split_hash": "of other data"}))
    assert go("trainer.max_epochs=1", *sweep) == 0
    assert "is finished by Python 3.5; Python 3." in capsys.readouterr().err
    assert json.loads(file.read_text())["python"] != "3.5"
    archived = file.parent.with_name(f"{file.parent.name}.old1") / "result.json"
    assert json.loads(archived.read_text())["python"] == "3.5"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "call", "workers"),
    [("training_step", 2, 0), ("training_step", 3, 0), ("training_step", 4, 0),
     ("training_step", 9, 0), ("validation_step", 2, 0), ("on_validation_epoch_end", 2, 0),
     ("on_train_epoch_end", 1, 0), ("training_step", 4, 2), ("validation_step", 2, 2)],
)  # fmt: skip
def test_resumed_run_equals_an_uninterrupted_one(
    whole: tuple[Go, Path],
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    call: int,
    workers: int,
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, hook, call)
        with pytest.raises(Stop):
            go(f"batch.num_workers={workers}", EVERY_STEP, out="stopped")
    assert go(f"batch.num_workers={workers}", out="stopped") == 0
    assert_same_run(whole[1], folder_of(tmp_path, "stopped"))


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["2", "0.7"])
def test_limited_epoch_is_an_epoch_when_a_run_resumes(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    words = (f"+trainer.limit_train_batches={limit}", "trainer.max_epochs=2")
    assert go(*words, out="whole") == 0
    result = json.loads((folder_of(tmp_path, "whole") / "result.json").read_text())
    first_of_second_epoch = result["steps"] // 2 + 1
    assert_resumed_equals_uninterrupted(go, tmp_path, monkeypatch, words, first_of_second_epoch)


@pytest.mark.slow
def test_denoised_programs_are_the_same_when_a_run_resumes(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tokenizer=pieces", "tokenizer.vocab_size=700", "batch.denoising=0.7", EVERY_STEP)
    assert go(*words, "trainer.max_epochs=2", out="whole") == 0
    result = json.loads((folder_of(tmp_path, "whole") / "result.json").read_text())
    in_second_epoch = result["steps"] // 2 + 2
    assert_resumed_equals_uninterrupted(
        go, tmp_path, monkeypatch, [*words, "trainer.max_epochs=2"], in_second_epoch
    )


@pytest.mark.slow
def test_a_run_is_finished_although_its_data_were_deleted_meanwhile(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fitting.fit

    def fit_and_delete(*arguments: Any) -> None:
        fit(*arguments)
        (tmp_path / "pairs.jsonl").unlink()

    monkeypatch.setattr(fitting, "fit", fit_and_delete)
    assert go("trainer.max_epochs=1") == 0
    assert read_result(folder_of(tmp_path)) is not None


@pytest.mark.slow
def test_fresh_trains_again_and_archives_the_folder(go: Go, tmp_path: Path) -> None:
    go()
    folder = folder_of(tmp_path)
    assert go("fresh=true") == 0
    assert folder.with_name(folder.name + ".old1").is_dir()
    assert_same_run(folder, folder.with_name(folder.name + ".old1"))


@pytest.mark.slow
@pytest.mark.parametrize("restarts", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_restarted_job_resumes_its_fresh_run(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: str
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 4)
        with pytest.raises(Stop):
            go("fresh=true", EVERY_STEP)
    monkeypatch.setenv(restarts, "1")
    assert go("fresh=true") == 0
    assert_same_run(whole[1], folder_of(tmp_path))  # the only folder: none is archived


@pytest.mark.slow
def test_finished_run_resumes_with_more_epochs(go: Go, tmp_path: Path) -> None:
    constant = "scheduler=constant"
    go("trainer.max_epochs=2", constant, out="short")
    go("trainer.max_epochs=3", constant, out="long")
    last = folder_of(tmp_path, "short") / "checkpoints" / "last.ckpt"
    checkpoint = load_checkpoint(last)
    checkpoint["callbacks"]["TrainingTime"]["time_elapsed"]["train"] = 1000.0
    AtomicCheckpointIO().save_checkpoint(checkpoint, last)
    assert go(f"ckpt_path={last}", "trainer.max_epochs=3", constant, out="further") == 0
    result = json.loads((folder_of(tmp_path, "further") / "result.json").read_text())
    assert 1000 < result["seconds"] < 1100
    one, two = (
        load_checkpoint(folder_of(tmp_path, out) / "checkpoints" / "last.ckpt")
        for out in ("long", "further")
    )
    assert_equal(one["state_dict"], two["state_dict"])
    assert_equal(one["optimizer_states"], two["optimizer_states"])


@pytest.mark.slow
@pytest.mark.parametrize("source", ["last.ckpt", "best.ckpt"])
def test_kill_before_the_first_checkpoint_resumes_from_ckpt_path(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    constant = "scheduler=constant"
    go("trainer.max_epochs=2", constant, out="short")
    checkpoints = folder_of(tmp_path, "short") / "checkpoints"
    words = [f"ckpt_path={checkpoints / source}", "trainer.max_epochs=4", constant]
    assert go(*words, out="whole") == 0
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 1)
        with pytest.raises(Stop):
            go(*words, out="killed")
    assert [f.name for f in (folder_of(tmp_path, "killed") / "checkpoints").iterdir()] == [
        "best.ckpt"  # a copy, which may stay the best
    ]
    assert go(*words, out="killed") == 0
    assert_same_run(folder_of(tmp_path, "whole"), folder_of(tmp_path, "killed"))


@pytest.mark.slow
def test_resuming_with_another_loss_is_refused_with_the_difference(
    whole: tuple[Go, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    last = folder / "checkpoints" / "last.ckpt"
    assert go(f"ckpt_path={last}", "loss=smoothed", "trainer.max_epochs=4") == 2
    message = capsys.readouterr().err
    assert "loss.label_smoothing: 0.0, 0.1" in message and "init_from=" in message
    assert go(f"ckpt_path={last}") == 2
    assert "trainer.max_epochs=6" in capsys.readouterr().err


@pytest.mark.slow
def test_init_from_copies_shared_tokens_and_lists_the_others(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = whole[1] / "checkpoints" / "best.ckpt"
    other = tmp_path / "other.jsonl"
    other.write_text(
        (tmp_path / "pairs.jsonl").read_text().replace("adds", "sums").replace("add(", "sum_up(")
    )
    assert go(f"init_from={best}", f"data.path={other}", "embeddings=joint", out="warm") == 0
    out = capsys.readouterr().out
    assert "0 newly initialised" in out and "tokens are in both vocabularies" in out
    assert "instead of vectors of embeddings=joint" in out


@pytest.mark.slow
def test_evaluate_reproduces_the_test_scores_of_training(go: Go, tmp_path: Path) -> None:
    assert go("behaviour=true") == 0
    folder = folder_of(tmp_path)
    assert go(f"ckpt_path={folder / 'checkpoints' / 'best.ckpt'}", program="evaluate") == 0
    again = json.loads((folder / "evaluate-test" / "results.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    figures = {name: figure["value"] for name, figure in again["rows"][0]["figures"].items()}
    known = {name: value for name, value in result["test"].items() if name in figures}
    assert {name: figures[name] for name in known} == pytest.approx(known, rel=1e-6)
    assert set(result["test"]) - set(known) <= {"n", "loss"} and "behaves" in known
    assert again["data"]["split_hash"] == result["split_hash"]
    assert list((folder / "evaluate-test" / "attention").rglob("cross-layer*.png"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGUSR1", 143), ("SIGINT", 130)])
def test_signal_saves_a_checkpoint_from_which_the_run_resumes(
    whole: tuple[Go, Path],
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    code: int,
) -> None:
    with monkeypatch.context() as patch:
        original = Seq2SeqModule.training_step

        def hit(self: Seq2SeqModule, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.global_step == 4:
                os.kill(os.getpid(), getattr(signal, number))
            return original(self, batch, batch_idx)

        patch.setattr(Seq2SeqModule, "training_step", hit)
        assert go(out="stopped") == code
    last = folder_of(tmp_path, "stopped") / "checkpoints" / "last.ckpt"
    assert load_checkpoint(last)["global_step"] == 5
    assert go(out="stopped") == 0
    assert_same_run(whole[1], folder_of(tmp_path, "stopped"))


@pytest.mark.slow
def test_second_process_with_the_same_config_is_refused(
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    held: list[bool] = []

    def meanwhile(self: Seq2SeqModule, batch: Any, batch_idx: int) -> torch.Tensor:
        lock = FileLock(lock_file(folder_of(tmp_path)), blocking=False)
        with pytest.raises(Timeout):
            lock.acquire()
        held.append(True)
        raise Stop("while it is locked")

    with monkeypatch.context() as patch:
        patch.setattr(Seq2SeqModule, "training_step", meanwhile)
        with pytest.raises(Stop):
            go()
    assert held
    with FileLock(lock_file(folder_of(tmp_path))):
        assert go() == 2
    assert "another process" in capsys.readouterr().err


@pytest.mark.slow
def test_sweep_logs_separate_wandb_runs_and_ends_with_a_table(
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb_logger.wandb_mode.cache_clear()
    assert go("-m", "logger=wandb", "loss=plain,smoothed", "trainer.max_epochs=1") == 0
    study = tmp_path / "out" / "adhoc"
    assert len(list(study.glob("wandb/offline-run-*"))) == 2
    assert len(list(study.glob("file-*/result.json"))) == 2
    printed = capsys.readouterr().out
    assert "adhoc: 2 runs" in printed and "adhoc: summary" in printed
    assert "2/2 loss=smoothed: finished in" in printed
    monkeypatch.setattr(Seq2SeqModule, "training_step", None)  # nothing is trained again
    assert go("-m", "logger=wandb", "loss=plain,smoothed", "trainer.max_epochs=1") == 0


@pytest.mark.slow
def test_invalid_value_fails_only_its_run_of_a_sweep(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("-m", "model.n_heads=7,2", "trainer.max_epochs=1") == 2
    assert len(list((tmp_path / "out" / "adhoc").glob("file-*/result.json"))) == 1
    assert "1 of 2 runs refused" in capsys.readouterr().out


def stop_after_checkpoint(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Raise after the n-th checkpoint of a run."""
    original, calls = AtomicCheckpointIO.save_checkpoint, iter(range(1, 10**6))

    def saving(self: AtomicCheckpointIO, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if next(calls) == call:
            raise Stop(f"checkpoint {call}")

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", saving)


@pytest.mark.slow
@pytest.mark.parametrize("call", [2, 3], ids=["best", "last"])
def test_stop_after_the_checkpoint_of_an_epoch_loses_no_metrics(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    with monkeypatch.context() as patch:
        stop_after_checkpoint(patch, call)
        with pytest.raises(Stop):
            go()
    assert go() == 0
    assert_same_run(whole[1], folder_of(tmp_path))


@pytest.mark.slow
def test_stop_at_the_end_of_an_epoch_leaves_out_no_kept_checkpoint(
    whole: tuple[Go, Path], go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after_checkpoint(patch, 3)
        with pytest.raises(Stop):
            go("checkpoints.keep_every_n_epochs=1")
    assert go("checkpoints.keep_every_n_epochs=1") == 0
    files = (folder_of(tmp_path) / "checkpoints").glob("epoch*.ckpt")
    assert sorted(file.stem for file in files) == ["epoch001", "epoch002", "epoch003"]
    assert metrics(whole[1]) == metrics(folder_of(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["embeddings=joint", "embeddings.freeze_epochs=1", "embeddings.vectors.epochs=1",
         "callbacks=ema", "trainer.precision=32-true", "tokenizer/tgt=bpe",
         "loss=weighted_smoothed", "scheduler=noam", "decoding=beam", "decoding.max_len=12"],
        ["model.norm=post", "model.positions=sinusoidal", "model.tie_embeddings=tgt",
         "tokenizer/src=bpe", "tokenizer/tgt=spacy", "augmentation=rename",
         "scheduler=one_cycle", "trainer.precision=bf16-mixed",
         "trainer.accumulate_grad_batches=2", "decoding=sample", "decoding.max_len=12"],
    ],
    ids=lambda overrides: overrides[0],
)  # fmt: skip
def test_options_train_stop_and_resume_exactly(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    assert_resumes_exactly(go, tmp_path, monkeypatch, overrides)
    best = folder_of(tmp_path, "whole") / "checkpoints" / "best.ckpt"
    assert go(f"ckpt_path={best}", program="evaluate") == 0
