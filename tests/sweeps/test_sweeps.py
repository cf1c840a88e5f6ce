"""Sweeps: finished runs are skipped, failed ones do not stop others, killed ones resume."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from en2py.cli.main import command
from en2py.config import composition
from en2py.console import JobPrefix, set_job
from en2py.data.prepare import prepare
from en2py.evaluation.results import Results
from en2py.sweeps import plan, status, sweeper
from en2py.sweeps.status import remaining_time
from en2py.sweeps.stored_runs import read_study
from en2py.sweeps.study import results_of
from en2py.sweeps.sweeper import StudySweeper, prepare_data
from en2py.training import run_folder
from en2py.training.callbacks.throughput import TIMES
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule
from en2py.training.run import Run
from training_runs import SMALL, folder_of, metrics, runner

ROOT = Path(__file__).parents[2]
Go = Callable[..., int]


@pytest.fixture
def go(tmp_path: Path) -> Go:
    return runner(tmp_path)


def a_run(study: Path, digest: str = "0123456789", **record: Any) -> Path:
    """Write the folder of a started run."""
    folder = study / f"tasks-tiny-none-plain-seed1-{digest}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1\n")
    if record:
        (folder / "state.json").write_text(json.dumps(record))
    return folder


def test_pruned_trials_take_no_time_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.SWEEP_ID, "s")
    folders = [a_run(tmp_path, str(i) * 10) for i in range(3)]
    plan.write_plan(tmp_path, [plan.Job((f"seed={i}",), f.name) for i, f in enumerate(folders)])
    result = {"config_sha256": "0" * 64, "seconds": 50, "test_seconds": 10}
    (folders[0] / "result.json").write_text(json.dumps(result))
    assert remaining_time(tmp_path, 1) == "1 of 3 runs finished; about 2 min left (60 s a run)"
    assert "; about 4 min left" in remaining_time(tmp_path, 1, 4)  # of a search, not planned yet
    earlier = {"sweep": "earlier", "reason": "no room", "code": 1}  # it is trained again
    (folders[1] / "state.json").write_text(json.dumps(earlier))
    assert "; about 2 min left" in remaining_time(tmp_path, 1)
    pruned = {"sweep": "s", "reason": "after epoch 1", "code": 0, "pruned": True}
    (folders[1] / "state.json").write_text(json.dumps(pruned))
    assert remaining_time(tmp_path, 1) == "1 of 3 runs finished; about 60 s left (60 s a run)"
    (folders[2] / "state.json").write_text(json.dumps(pruned))
    assert remaining_time(tmp_path, 1) == ""


# ------------------------------------------------------------------------------- states of a run


def test_run_with_a_result_is_finished(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    (folder / "result.json").write_text(json.dumps({"config_sha256": "0123456789abcdef"}))
    assert run_folder.read_state(folder).status == run_folder.FINISHED


def test_result_of_another_config_is_ignored(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    (folder / "result.json").write_text(json.dumps({"config_sha256": "ffff"}))
    assert run_folder.read_state(folder).status == run_folder.INTERRUPTED


def test_incomplete_result_is_ignored(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    (folder / "result.json").write_text('{"config_sha256": "0123456789ab')
    assert run_folder.read_state(folder).status == run_folder.INTERRUPTED


def test_failed_run_has_a_reason(tmp_path: Path) -> None:
    folder = a_run(tmp_path, reason="out of memory", code=1)
    assert run_folder.read_state(folder) == run_folder.State(run_folder.FAILED, "out of memory", 1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((("seed=1",), ("seed=1",)), "another and are"),
        ((("+behaviour=true",), ("+behaviour=false",)), "differs in behaviour alone, and are"),
    ],
)
def test_combinations_that_are_one_run_name_the_settings_that_differ(
    words: tuple[tuple[str], ...], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    planned = [(plan.Job(overrides, "run"), dict[str, Any]()) for overrides in words]
    assert sweeper._without_repeated(planned) == planned[:1]
    assert reason in caplog.messages[-1]


def test_a_refused_run_is_not_retried_but_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EN2PY_SWEEP", "2-b")
    failed = a_run(tmp_path, reason="out of memory", code=1)
    without_data = a_run(tmp_path, "9876543210", reason="a.jsonl holds no pair", code=2)
    jobs = [plan.Job(("seed=1",), failed.name), plan.Job(("seed=x",), "", "seed=x: no number"),
            plan.Job(("seed=2",), without_data.name)]  # fmt: skip
    plan.write_plan(tmp_path, jobs)
    caplog.set_level("INFO")
    assert status.print_summary(tmp_path) == 1
    assert caplog.messages[-2:] == [
        "1 of 3 runs failed; the same command retries them",
        "2 of 3 runs refused; correct what is named above",
    ]


def test_locked_run_is_running(tmp_path: Path) -> None:
    folder = a_run(tmp_path, reason="failed before", code=1)
    with FileLock(run_folder.lock_file(folder)):
        assert run_folder.read_state(folder).status == run_folder.RUNNING


def test_run_waits_for_another_process_that_reads_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.__new__(Run)
    run.folder = tmp_path / "none-seed1-0"
    reader = FileLock(run_folder.lock_file(run.folder))
    reader.acquire()
    monkeypatch.setattr(time, "sleep", lambda seconds: reader.release())
    with run.lock():
        assert run_folder.read_state(run.folder).status == run_folder.RUNNING
    run.folder.mkdir()
    reader.acquire()
    run_folder.archive(run.folder)
    assert not run.folder.exists()


def test_run_without_a_folder_is_not_started(tmp_path: Path) -> None:
    assert run_folder.read_state(tmp_path / "none-seed1-0").status == run_folder.NOT_STARTED


def test_a_plan_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    job = {"overrides": ["seed=1"], "run": "a-seed1", "reason": "", "label": "trial 1/2 seed=1"}
    (tmp_path / "sweeps.jsonl").write_text(json.dumps({"sweep": "1-a", "jobs": [job]}) + "\n")
    assert plan.read_plans(tmp_path) == [("1-a", [plan.Job(("seed=1",), "a-seed1")])]


def test_plans_are_read_back_without_an_incomplete_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EN2PY_SWEEP", "2-b")
    jobs = [plan.Job(("seed=1",), "a"), plan.Job(("seed=x",), "", "no number")]
    plan.write_plan(tmp_path, jobs)
    with open(tmp_path / "sweeps.jsonl", "a") as file:
        file.write('{"sweep": "3-c", "jobs": [')  # killed while writing
    assert plan.read_plans(tmp_path) == [("2-b", jobs)]
    monkeypatch.setenv("EN2PY_SWEEP", "4-d")
    plan.write_plan(tmp_path, jobs[:1])
    plan.write_plan(tmp_path, jobs[1:])
    assert plan.read_plans(tmp_path) == [("2-b", jobs), ("4-d", jobs)]


def test_varied_keys_are_in_the_order_typed() -> None:
    runs = [["data=tasks", "loss=a", "seed=1"], ["data=tasks", "loss=b", "seed=1"],
            ["data=tasks", "loss=a", "seed=2"]]  # fmt: skip
    assert plan.varied(runs) == ["loss", "seed"]
    assert plan.label(runs[1], ["loss", "seed"]) == "loss=b seed=1"


@pytest.mark.parametrize(("n_jobs", "share"), [(None, 6), (1, 6), (2, 3), (4, 1), (64, 1)])
def test_parallel_runs_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, n_jobs: int | None, share: int
) -> None:
    monkeypatch.setattr(composition, "n_cores", lambda: 6)
    assert composition.share_of({} if n_jobs is None else {"n_jobs": n_jobs}) == share


# ---------------------------------------------------------------------------------- sweeps


def table_of(results: Results) -> Any:
    """Return the summary of a study without times."""
    record = dataclasses.asdict(results)
    for rows in record["curves"].values():
        for row in rows:
            for name in TIMES:
                row.pop(name, None)
    return record


def in_process(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    words = [sys.executable, str(ROOT / "train.py"), "-m", *arguments]
    return subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE, **more)


@pytest.mark.slow
def test_killed_sweep_resumes_to_the_same_summary(go: Go, tmp_path: Path) -> None:
    """Kill the second of two runs with SIGKILL, and run the command again."""
    axes = ("loss=plain,smoothed", "trainer.max_epochs=2")
    assert go("-m", *axes, out="whole") == 0
    fixed = [*SMALL, f"data.path={tmp_path / 'pairs.jsonl'}", f"cache={tmp_path / 'cache'}",
             f"output={tmp_path / 'killed'}", "checkpoints.every_n_steps=1"]  # fmt: skip
    words = [o for o in fixed if not o.startswith("trainer.max_epochs")]
    process = in_process(*words, *axes)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("2/2") and "epoch 1/2" in line:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    study = tmp_path / "killed" / "adhoc"
    finished = {path.parent.name: path.read_bytes() for path in study.glob("*/result.json")}
    assert len(finished) == 1
    again = in_process(*words, *axes)
    printed, _ = again.communicate()
    assert again.returncode == 0
    assert "interrupted, resumes" in printed and "resuming from" in printed
    for name, content in finished.items():
        assert (study / name / "result.json").read_bytes() == content, "was trained again"
    whole = results_of(read_study(tmp_path / "whole" / "adhoc"), "t")
    assert table_of(results_of(read_study(study), "t")) == table_of(whole)
    assert len(whole.rows) == 2


@pytest.mark.slow
def test_failed_runs_are_reported_at_the_end_of_the_sweep(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invalid value, exception, out of memory, non-finite loss; and a run without an error."""
    original = Seq2SeqModule.training_step

    def spoiled(self: Seq2SeqModule, batch: Any, batch_idx: int) -> Any:
        seed = self.metadata["config"]["seed"]
        if seed == 2:
            raise ZeroDivisionError("a bug")
        if seed == 3:
            raise MemoryError("no room for 3 TiB")
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if seed == 4 else loss

    monkeypatch.setattr(Seq2SeqModule, "training_step", spoiled)
    command = ("-m", "seed=2,3,4,1", "model.n_heads=2,7", "trainer.max_epochs=1")
    assert go(*command) == 1
    printed = capsys.readouterr().out
    assert len(list((tmp_path / "out" / "adhoc").glob("*/result.json"))) == 1
    for reason in ("ZeroDivisionError: a bug", "memory", "not finite",
                   "model.n_heads=7: does not divide"):  # fmt: skip
        assert reason in printed
    assert "3 of 8 runs failed" in printed and "4 of 8 runs refused" in printed
    assert "ZeroDivisionError: a bug" in (tmp_path / "out" / "adhoc" / "failed.log").read_text()
    monkeypatch.setattr(Seq2SeqModule, "training_step", original)
    assert go(*command) == 2  # four are refused, the others are mended
    assert len(list((tmp_path / "out" / "adhoc").glob("*/result.json"))) == 4


@pytest.mark.slow
def test_data_is_prepared_once_and_the_time_is_that_of_finished_runs(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from en2py.cli.programs import run_training as main
    from en2py.training import run_data

    calls = []
    monkeypatch.setattr(run_data, "prepare", lambda **all: calls.append(1) or prepare(**all))
    words = ["train.py", "-m", *SMALL, f"data.path={tmp_path / 'pairs.jsonl'}",
             f"output={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}", "seed=1,2"]  # fmt: skip
    monkeypatch.setattr("en2py.sweeps.sweeper.prepare_data", prepare_data)
    assert command(main, "train", argv=words) == 0
    printed = capsys.readouterr().out
    assert len(calls) == 1 and "data prepared once for all runs" in printed
    start = "2 to do, 1 at once; the time is estimated when the first run is finished"
    assert printed.index(start) < printed.index("1/2 seed=1: 1 of 2 runs finished; about")
    assert printed.count("runs finished; about") == 1  # none after the last one


def launched(go: Go, tmp_path: Path, launcher: str, *words: str) -> Path:
    """Train a run in this process, and the same and another by a launcher."""
    if launcher != "joblib":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    assert go("seed=1", "trainer.max_epochs=1", out="alone") == 0
    axes = ("seed=1,2", "model.d_ff=64", "trainer.max_epochs=1")
    assert go("-m", *axes, f"hydra/launcher={launcher}", *words, out="side") == 0
    return tmp_path / "side" / "adhoc"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "words"),
    [
        ("joblib", ("hydra.launcher.n_jobs=2",)),
        ("submitit_local", ("hydra.launcher.timeout_min=5",)),
    ],
)
def test_runs_of_a_launcher_equal_runs_in_one_process(
    go: Go, tmp_path: Path, launcher: str, words: tuple[str, ...]
) -> None:
    study = launched(go, tmp_path, launcher, *words)
    alone = folder_of(tmp_path, "alone")
    assert metrics(study / alone.name) == metrics(alone)
    one, two = (load_checkpoint(f / "checkpoints" / "best.ckpt")["state_dict"]
                for f in (alone, study / alone.name))  # fmt: skip
    assert all((one[key] == two[key]).all() for key in one)
    assert len(list(study.glob("*/result.json"))) == 2


def test_fresh_sweep_archives_before_it_launches_so_that_its_runs_can_resume(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launched: list[plan.Job] = []
    monkeypatch.setattr(StudySweeper, "_launch", lambda self, jobs, folder: launched.extend(jobs))
    monkeypatch.setattr(status, "print_summary", lambda folder: 0)
    assert go("-m", "seed=1,2") == 0
    study = tmp_path / "out" / "adhoc"
    for job in launched:
        folder = study / job.run
        folder.mkdir()
        digest = folder.name.rpartition("-")[2]
        (folder / "result.json").write_text(json.dumps({"config_sha256": digest}))
    with FileLock(run_folder.lock_file(study / launched[1].run)):  # another process trains it
        assert go("-m", "seed=1,2", "fresh=true") == 0
    assert "finished before, starts anew" in capsys.readouterr().out
    assert [(study / f"{job.run}.old1").exists() for job in launched[:2]] == [True, False]
    assert not run_folder.starts_again(fresh=True)  # in a sweep


def test_sweep_leaves_the_state_of_a_run_to_the_process_that_trains_it(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launched: list[plan.Job] = []
    with monkeypatch.context() as patch:
        patch.setattr(StudySweeper, "_launch", lambda self, jobs, folder: launched.extend(jobs))
        assert go("-m", "seed=1") == 0
    folder = tmp_path / "out" / "adhoc" / launched[0].run
    folder.mkdir()
    (folder / "state.json").write_text('{"sweep": "other"}')
    with FileLock(run_folder.lock_file(folder)):
        go("-m", "seed=1")
        assert "already running in another process" in capsys.readouterr().err
    assert (folder / "state.json").read_text() == '{"sweep": "other"}'


def test_summary_of_a_fresh_sweep_names_the_command_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(run_folder.SWEEP_ID, "s")
    plan.write_plan(
        tmp_path, [plan.Job(("seed=1", "fresh=True"), "none-seed1-0")]
    )  # as Hydra has it
    with caplog.at_level("INFO"):
        status.print_summary(tmp_path)
    assert "0 of 1 run finished; the same command without fresh=true resumes" in caplog.text


def test_run_whose_group_option_lacks_a_key_is_refused_alone(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launched: list[plan.Job] = []
    monkeypatch.setattr(StudySweeper, "_launch", lambda self, jobs, folder: launched.extend(jobs))
    assert go("-m", "data=file,tasks", "split=random") == 2
    (job,) = launched
    assert "data=file" in job.overrides
    assert "2: data.path: the data in use has no path; add data=" in capsys.readouterr().out


def test_sweep_over_experiments_of_several_studies_is_refused(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launched: list[plan.Job] = []
    monkeypatch.setattr(StudySweeper, "_launch", lambda self, jobs, folder: launched.extend(jobs))
    swept = ("-m", "experiment=loss_functions,seeds", "trainer.max_epochs=1,2")
    assert go(*swept) == 2 and not launched and not (tmp_path / "out").exists()
    assert "set study=loss_functions and study=seeds, and all" in capsys.readouterr().err
    assert go(*swept, "study=both") == 0 and len(launched) == 2  # the two are the same runs
    assert status.print_summary(tmp_path / "out" / "both") == 0


@pytest.mark.slow
def test_killed_joblib_worker_fails_no_other_run(go: Go, tmp_path: Path) -> None:
    """Kill a worker process once, as if memory had run out; all runs finish."""
    from killing import main

    words = ["train.py", "-m", *SMALL, f"data.path={tmp_path / 'pairs.jsonl'}",
             f"output={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}", "seed=1,2,3",
             "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]  # fmt: skip
    assert command(main, "train", argv=words) == 0
    assert (tmp_path / "killed").exists()
    assert len(list((tmp_path / "out" / "adhoc").glob("*/result.json"))) == 3


class OneDeath:
    """A launcher whose first worker process dies; it executes nothing."""

    def __init__(self) -> None:
        self.launches: list[list[str]] = []

    def launch(self, overrides: list[tuple[str]], initial_job_idx: int) -> None:
        self.launches.append([override for (override,) in overrides])
        if len(self.launches) == 1:
            raise BrokenProcessPool


def test_state_of_an_earlier_sweep_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.SWEEP_ID, "this")
    reason = {"reason": "out of memory", "code": 1}
    folders = [
        a_run(tmp_path, "0" * 10, sweep="earlier", **reason),
        a_run(tmp_path, "1" * 10, sweep="earlier", **reason, pruned=True),
        a_run(tmp_path, "2" * 10, sweep="earlier"),  # finished before, launched by fresh=true
        a_run(tmp_path, "3" * 10, sweep="this", **reason),
        a_run(tmp_path, "4" * 10, sweep="this"),  # finished by this sweep
    ]
    for i in (2, 4):
        result = json.dumps({"config_sha256": str(i) * 64})
        (folders[i] / "result.json").write_text(result)
    sweeper = StudySweeper()
    sweeper.launcher = launcher = OneDeath()
    jobs = [plan.Job((f"seed={i}",), folder.name) for i, folder in enumerate(folders)]
    sweeper._launch(jobs, tmp_path)
    assert launcher.launches[1] == ["seed=0", "seed=1", "seed=2"]


def test_lines_after_the_runs_have_no_label_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    monkeypatch.setattr(JobPrefix, "set", lambda self, label, **_: labels.append(label))
    sweeper = StudySweeper()
    sweeper.launcher = SimpleNamespace(launch=lambda *_, **__: set_job("trial 1/2"))
    sweeper._launch([plan.Job(("seed=1",), "none-seed1-0")], tmp_path)
    assert labels == ["trial 1/2", ""]


def candidates(run: Path) -> list[list[str]]:
    lines = (run / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["candidates"] for line in lines]


@pytest.mark.slow
def test_two_ranks_score_like_one(tmp_path: Path, go: Go) -> None:
    """Two gloo processes count every pair once; each run of a sweep is a command of its own."""
    words = ("trainer.max_epochs=1", "optimizer.lr=1e-9")  # so that the weights stay as they were
    assert go(*words, out="one") == 0
    fixed = [o for o in SMALL if o.split("=")[0] not in ("trainer.max_epochs",)]
    paths = [f"data.path={tmp_path / 'pairs.jsonl'}", f"cache={tmp_path / 'cache'}"]
    arguments = [*fixed, *paths, f"output={tmp_path / 'two'}", *words, "seed=1,2", "trainer=ddp"]
    done = in_process(*arguments, stderr=subprocess.PIPE)
    _, printed = done.communicate()
    assert done.returncode == 0, printed
    (two,) = (tmp_path / "two" / "adhoc").glob("*-seed1-*/result.json")
    (one,) = (tmp_path / "one" / "adhoc").glob("*/result.json")
    expected, found = (json.loads(path.read_text()) for path in (one, two))
    assert found["test"]["n"] == expected["test"]["n"]
    for part in ("test", "best"):
        for name in ("nll", "accuracy", "val/nll", "val/accuracy", "train/nll", "bleu"):
            if name in expected[part]:
                assert found[part][name] == pytest.approx(expected[part][name], rel=1e-5), name
    assert candidates(two.parent) == candidates(one.parent)
    assert len(list((tmp_path / "two" / "adhoc").glob("*/result.json"))) == 2
