"""Signals and requeueing, with a stand-in for SLURM's `scontrol` that logs its arguments."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from en2py.cli.main import command
from en2py.training import signals
from en2py.training.callbacks.checkpointing import LastCheckpoint
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule
from training_runs import EVERY_STEP, Go, assert_same_run, folder_of


@pytest.fixture
def requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file to which the stand-in for `scontrol` writes its arguments."""
    programs, notes = tmp_path / "programs", tmp_path / "requests"
    programs.mkdir()
    notes.touch()
    signals._requeued.clear()  # a job is requeued once per process
    scontrol = programs / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {notes}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in (("JOB_ID", "17"), ("JOB_NAME", "train"), ("NTASKS", "1"),
                        ("PROCID", "0"), ("LOCALID", "0"), ("NODEID", "0")):  # fmt: skip
        monkeypatch.setenv(f"SLURM_{name}", value)
    return notes


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)]
)
def test_only_sigusr1_requeues_the_job(requests: Path, number: int, code: int) -> None:
    with pytest.raises(SystemExit) as exited:
        signals.exit_on_signal(number)
    assert exited.value.code == code
    assert requests.read_text() == ("requeue 17\n" if number == signal.SIGUSR1 else "")


def test_a_job_of_an_array_is_requeued_by_its_index(
    requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(SystemExit):
        signals.exit_on_signal(signal.SIGUSR1)
    assert requests.read_text() == "requeue 12_3\n"


def test_only_the_first_process_of_a_job_requeues_it(
    requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(SystemExit):
        signals.exit_on_signal(signal.SIGUSR1)
    assert requests.read_text() == ""


def test_an_error_of_scontrol_is_printed(
    requests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scontrol = requests.parent / "programs" / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'no such job' >&2\nexit 1\n")
    with pytest.raises(SystemExit):
        signals.exit_on_signal(signal.SIGUSR1)
    assert "could not be requeued (no such job)" in capsys.readouterr().err


def test_outside_of_training_a_signal_exits_with_its_code(requests: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exited, signals.handle_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert exited.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("becomes", [None, ImportError])
def test_a_signal_that_a_library_suppresses_exits_at_the_end(
    requests: Path, becomes: type[Exception] | None
) -> None:
    with pytest.raises(SystemExit) as exited, signals.handle_signals():
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGUSR1)
        if becomes is not None:
            raise becomes
    assert exited.value.code == 143
    assert requests.read_text() == "requeue 17\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_handled_before_the_config_is_read(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("en2py.cli.main.parse", lambda *_: signal.raise_signal(number))
    assert command(lambda cfg: None, "train", argv=["train.py"]) == 143


def test_a_signal_after_the_last_save_exits(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_epoch = LastCheckpoint.on_train_epoch_end

    def interrupted(self: LastCheckpoint, trainer: Any, module: Any) -> None:
        log_epoch(self, trainer, module)
        if trainer.current_epoch + 1 == trainer.max_epochs:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(LastCheckpoint, "on_train_epoch_end", interrupted)
        assert go("trainer.max_epochs=2") == 143
    assert not (folder_of(tmp_path) / "result.json").exists()
    assert go("trainer.max_epochs=2") == 0


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["training_step", "validation_step", "predict_step"])
def test_sigusr1_saves_requeues_once_and_the_run_resumes_exactly(
    whole: tuple[Go, Path],
    go: Go,
    tmp_path: Path,
    requests: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
) -> None:
    with monkeypatch.context() as patch:
        original = getattr(Seq2SeqModule, hook)

        def hit(self: Seq2SeqModule, *args: object) -> torch.Tensor:
            if self.global_step >= 4:
                os.kill(os.getpid(), signal.SIGUSR1)
            return original(self, *args)

        patch.setattr(Seq2SeqModule, hook, hit)
        assert go(EVERY_STEP, out="stopped") == 143
    assert requests.read_text() == "requeue 17\n"
    last = load_checkpoint(folder_of(tmp_path, "stopped") / "checkpoints" / "last.ckpt")
    assert last["global_step"] >= 4
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    assert go(out="stopped") == 0
    assert_same_run(whole[1], folder_of(tmp_path, "stopped"))
