"""What a finished run keeps on disk: `checkpoints.keep`."""

from pathlib import Path

import pytest

from en2py.data.files import folder_size
from en2py.errors import UserError
from en2py.sweeps.plan import Job
from en2py.sweeps.sweeper import take_finished
from en2py.training.checkpoints import (
    FORMAT,
    AtomicCheckpointIO,
    discard_training_state,
    is_whole,
    load_checkpoint,
)
from training_runs import Go, folder_of, runner

KEPT = {
    "last": {"best.ckpt": False, "last.ckpt": True},
    "weights": {"best.ckpt": False},
    "all": {"best.ckpt": True, "last.ckpt": True},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Go, Path]:
    """Return a folder with a study of one epoch for each value, and the function that trained."""
    folder = tmp_path_factory.mktemp("kept")
    go = runner(folder)
    for keep in KEPT:
        assert go("trainer.max_epochs=1", f"checkpoints.keep={keep}", out=keep) == 0
    return go, folder


def test_a_damaged_best_checkpoint_does_not_cost_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    whole = {"en2py": {"format": FORMAT}, "optimizer_states": []}
    AtomicCheckpointIO().save_checkpoint(whole, folder / "last.ckpt")
    (folder / "best.ckpt").write_bytes(b"damaged")
    with pytest.raises(UserError, match="best.ckpt' has no valid .*last.ckpt'"):
        discard_training_state(folder)
    take_finished(tmp_path, [(Job((), "run"), {"checkpoints": {"keep": "weights"}})])
    assert "checkpoints.keep=weights: " in caplog.text
    assert is_whole(load_checkpoint(folder / "last.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("keep", KEPT)
def test_a_finished_run_keeps(runs: tuple[Go, Path], keep: str) -> None:
    files = (folder_of(runs[1], keep) / "checkpoints").iterdir()
    assert {file.name: is_whole(load_checkpoint(file)) for file in files} == KEPT[keep]


@pytest.mark.slow
def test_what_is_kept_changes_neither_weights_nor_the_name_of_a_run(
    runs: tuple[Go, Path],
) -> None:
    folders = [folder_of(runs[1], keep) for keep in KEPT]
    states = [load_checkpoint(f / "checkpoints" / "best.ckpt")["state_dict"] for f in folders]
    assert len({folder.name for folder in folders}) == 1
    for state in states[1:]:
        assert all(state[name].equal(weight) for name, weight in states[0].items())


@pytest.mark.slow
@pytest.mark.parametrize("keep", KEPT)
def test_a_study_is_summarized_and_evaluated_after_each(
    runs: tuple[Go, Path], keep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = runs
    study = folder_of(folder, keep).parent
    assert go(f"study={study}", program="evaluate") == 0
    assert f"size of {study}: " in capsys.readouterr().out
    assert go(f"ckpt_path={study}", "attention=[]", "baseline=none", program="evaluate") == 0
    assert "generating" not in capsys.readouterr().out  # the programs of the run are those of it


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "remedy"),
    [("last", "resume from '{folder}/last.ckpt'"), ("weights", "checkpoints.keep=weights")],
)
def test_weights_alone_cannot_resume(
    runs: tuple[Go, Path], keep: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(runs[1], keep) / "checkpoints"
    best = folder / "best.ckpt"
    assert runs[0](f"ckpt_path={best}", "trainer.max_epochs=2", out="further") == 2
    message = capsys.readouterr().err
    assert "holds weights without the state of the optimizer" in message
    assert remedy.format(folder=folder) in message and f"init_from={best}" in message


@pytest.mark.slow
def test_a_run_killed_while_it_is_tested_resumes(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trainer.max_epochs=1", "checkpoints.keep=weights"]
    with monkeypatch.context() as patch:
        patch.setattr("en2py.cli.train.token_tables", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(*words)
    capsys.readouterr()
    assert go(*words) == 0
    last = folder_of(tmp_path) / "checkpoints" / "last.ckpt"
    assert f"resuming from {last} (step 3)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["-m"]])
def test_keeping_weights_applies_to_a_finished_run(
    go: Go, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("trainer.max_epochs=1", "checkpoints.keep=all") == 0
    reduced = "checkpoints.keep=weights: removed the training state of "
    for n in (1, 0):  # the second time there is nothing to remove
        capsys.readouterr()
        assert go(*words, "trainer.max_epochs=1", "checkpoints.keep=weights") == 0
        assert capsys.readouterr().out.count(reduced) == n
    (file,) = (folder_of(tmp_path) / "checkpoints").iterdir()
    assert file.name == "best.ckpt" and not is_whole(load_checkpoint(file))
    assert go(f"ckpt_path={file}", "trainer.max_epochs=2") == 2
    assert "no last.ckpt beside it (checkpoints.keep=weights keeps none)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_finished_run_is_reduced_before_its_result_is_printed(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go("trainer.max_epochs=1") == 0
    monkeypatch.setattr("en2py.cli.train.print_result", lambda *_: 1 / 0)  # as of a closed pipe
    with pytest.raises(ZeroDivisionError):
        go("trainer.max_epochs=1", "checkpoints.keep=weights")
    (file,) = (folder_of(tmp_path) / "checkpoints").iterdir()
    assert file.name == "best.ckpt"


@pytest.mark.slow
def test_a_run_without_validation_keeps_the_weights_of_its_last_checkpoint(
    go: Go, tmp_path: Path
) -> None:
    words = ["+trainer.limit_val_batches=0", "callbacks.early_stopping=null"]
    assert go("trainer.max_epochs=1", "checkpoints.keep=weights", *words) == 0
    (file,) = (folder_of(tmp_path) / "checkpoints").iterdir()
    assert file.name == "last.ckpt" and not is_whole(load_checkpoint(file))


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12345")
    (tmp_path / "c").write_bytes(b"1")
    assert folder_size(tmp_path) == 6
