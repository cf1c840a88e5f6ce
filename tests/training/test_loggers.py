"""Failures of W&B do not stop a run, and metrics.csv is complete."""

import csv
import json
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import wandb

from en2py.data.files import disk_full, read_csv
from en2py.errors import Fault
from en2py.training import loggers, metrics_file
from en2py.training import wandb_logger as of_wandb
from en2py.training.loggers import log_evaluated_run
from en2py.training.metrics_file import MetricsFile
from en2py.training.wandb_logger import (
    FaultTolerantWandbLogger,
    finish_wandb,
    wandb_logger,
    wandb_mode,
)
from training_runs import Go, folder_of

RUN: dict[str, Any] = {
    "name": "r", "run_id": "i", "group": "s", "job_type": "training",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _uncached_mode() -> None:
    wandb_mode.cache_clear()
    wandb.teardown()  # an earlier test's session has read another environment


def raising(error: Exception) -> Any:
    def call(*args: Any, **kwargs: Any) -> None:
        raise error

    return call


def test_the_first_error_is_reported_and_disables_the_logger(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = FaultTolerantWandbLogger(mode="disabled")
    monkeypatch.setattr("wandb.sdk.wandb_run.Run.log", raising(OSError(28, "No space left")))
    monkeypatch.setattr("wandb.Table", raising(OSError(28, "No space left")))
    logger.log_table("a", columns=["x"], data=[["y"]])
    logger.log_metrics({"a": 1.0}, step=1)
    logger.log_image("b", ["missing.png"])
    assert logger.disabled
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("error", [ConnectionError("no network"), ValueError("key expired")])
def test_a_run_without_network_or_key_is_recorded_offline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("wandb.login", raising(error))
    assert wandb_mode() == wandb_mode() == "offline"
    (message,) = caplog.messages
    assert str(error) in message


@pytest.mark.parametrize("value", ["true", "1", "YES"])
def test_wandb_disabled_wins_over_the_mode_and_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_DISABLED", value)
    caplog.set_level("INFO")
    assert wandb_mode() == wandb_mode() == "disabled"
    (message,) = caplog.messages
    assert "logger.wandb has no effect" in message


def test_an_empty_mode_is_no_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("WANDB_DISABLED", "false")
    monkeypatch.setattr("wandb.login", lambda **settings: True)
    assert wandb_mode() == "online"
    wandb.teardown()


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_stored_mode_of_wandb_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text(f"[default]\nmode = {mode}\n")  # `wandb offline`
    monkeypatch.setattr("wandb.login", lambda **settings: True)
    wandb.teardown()
    assert wandb_mode() == mode
    wandb.teardown()


def test_a_wrong_mode_is_refused_before_training(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    assert go("logger=wandb") == 2
    message = capsys.readouterr().err
    assert message.startswith("WANDB_MODE=ofline") and "online, offline or disabled" in message
    assert message.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_start_that_fails_offline_too_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "nowhere")
    wandb.teardown()
    assert wandb_logger({"project": "p"}, folder=tmp_path, **RUN).disabled
    (message,) = [r.getMessage() for r in caplog.records if r.name == of_wandb.__name__]
    assert "W&B is disabled" in message and "'nowhere'" in message
    wandb.teardown()


@pytest.mark.slow
def test_a_failed_start_is_followed_by_an_offline_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening: the connection is refused
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "ab" * 20)
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.setattr(of_wandb, "_START_SECONDS", 1.0)
        wandb.teardown()  # an earlier test's session has read another environment
        logger = wandb_logger({"project": "p"}, folder=tmp_path, **RUN)
        assert not logger.disabled
        finish_wandb()
        wandb.teardown()
    assert list(tmp_path.glob("wandb/offline-run-*/run-i.wandb"))
    (message,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "W&B does not respond" in message and "recorded offline" in message
    assert "anonymous" not in capsys.readouterr().err


def test_starting_with_an_unresponsive_server_has_a_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    started: list[Any] = []

    def init(**settings: Any) -> Any:
        started.append(settings)
        if len(started) == 1:
            raise TimeoutError("no answer")
        return MagicMock()

    monkeypatch.setattr("wandb.init", init)
    logger = wandb_logger({"project": "p"}, folder=tmp_path, **RUN)
    assert started[0]["settings"].init_timeout <= 14
    assert started[0]["settings"].finish_timeout == 30
    assert logger._wandb_init["mode"] == "offline" and not logger.disabled
    assert "does not respond (TimeoutError: no answer)" in caplog.messages[0]


def test_the_time_of_the_login_counts_toward_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(of_wandb, "wandb_mode", lambda: "online")
    started: list[Any] = []
    monkeypatch.setattr("wandb.init", lambda **settings: started.append(settings) or MagicMock())
    wandb_logger({"project": "p"}, folder=tmp_path, **RUN)
    assert started[0]["settings"].init_timeout == 5


def test_tables_of_runs_show_the_best_nll_instead_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = wandb_logger({"project": "p"}, folder=tmp_path, **RUN)
    for step, nll in enumerate((3.0, 1.0, 2.0)):
        logger.log_metrics({"val/nll": nll}, step=step)
    assert dict(logger.experiment.summary["val/nll"]) == {"min": 1.0}
    assert logger.experiment.group == "s" and logger.experiment.name == "r"
    assert logger.experiment.job_type == "training"
    finish_wandb()


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_best_checkpoint_is_uploaded_if_it_is_asked_for(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(FaultTolerantWandbLogger, "log_image", MagicMock())  # of blank ones
    words = ("logger=wandb", f"logger.wandb.log_checkpoints={str(asked).lower()}")
    assert go(*words, "trainer.max_epochs=1") == 0
    wandb.teardown()  # waits until the record is written
    (record,) = (tmp_path / "out" / "adhoc").glob("wandb/offline-run-*/run-*.wandb")
    artifact = f"model-{record.stem.removeprefix('run-')}".encode()
    assert (artifact in record.read_bytes()) == asked


@pytest.mark.slow
def test_a_run_finishes_without_the_wandb_folder(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("wandb.init", raising(OSError(28, "No space left on device")))
    assert go("logger=wandb", "trainer.max_epochs=2") == 0
    assert capsys.readouterr().err.count("No space left on device") == 1
    with open(folder_of(tmp_path) / "metrics.csv") as file:
        assert sum(row["val/nll"] != "" for row in csv.DictReader(file)) == 2


@pytest.mark.slow
def test_markup_in_a_description_stays_text_in_the_table(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    evil = "<script>alert(1)</script> & <img src=x onerror=alert(2)>"
    lines = (tmp_path / "pairs.jsonl").read_text().replace("write a function", evil)
    (tmp_path / "pairs.jsonl").write_text(lines)
    assert go("logger=wandb", "trainer.max_epochs=1") == 0
    tables = list((tmp_path / "out" / "adhoc").rglob("*.table.json"))
    assert tables
    for path in tables:
        table = json.loads(path.read_text())
        assert all(row[1].startswith(evil) for row in table["data"])  # W&B shows strings as text
    kinds = [p for p in (tmp_path / "out").rglob("*") if p.suffix in (".html", ".wb-html")]
    assert not kinds
    page = (folder_of(tmp_path) / "samples.md").read_text()
    assert "\\<script\\>" in page and "<script>" not in page


def test_metrics_of_the_test_split_have_no_epoch(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = MetricsFile(path, None)
    logger.log_metrics({"val/nll": 1.0, "epoch": 1.0}, step=9)
    logger.log_metrics({"test/nll": 1.0, "epoch": 1}, step=10)
    logger.save()
    assert read_csv(path) == [
        {"step": "9", "epoch": "1", "val/nll": "1.0"},
        {"step": "10", "test/nll": "1.0"},
    ]


def test_a_failed_write_of_metrics_does_not_hide_the_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = MetricsFile(tmp_path / "metrics.csv", None)
    logger.log_metrics({"a": 1.0}, step=1)
    full = disk_full(logger.path, 10, OSError(28, "full"))
    monkeypatch.setattr(metrics_file, "write_atomically", raising(full))
    logger.finalize("failed")
    with pytest.raises(Fault):
        logger.finalize("success")


# --------------------------------------------------------------------------- options and figures


def rows_of(tmp_path: Path) -> list[dict[str, str]]:
    with open(folder_of(tmp_path) / "metrics.csv") as file:
        return list(csv.DictReader(file))


def test_options_reach_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    started: list[Any] = []
    monkeypatch.setattr("wandb.init", lambda **settings: started.append(settings) or MagicMock())
    section = {"project": "p", "entity": "team", "tags": ["a"], "notes": "n", "mode": "offline"}
    wandb_logger(section, folder=tmp_path, **RUN, tags=["b"])
    expected = {**section, "tags": ["b", "a"], "id": "i", "job_type": "training"}
    assert expected.items() <= started[0].items()


def test_an_evaluation_keeps_tags_and_notes_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr("wandb.init", lambda **settings: started.append(settings) or MagicMock())
    section = {"project": "p", "tags": ["a"], "notes": "n", "mode": "offline"}
    log_evaluated_run(tmp_path / "run", "study", {"test/bleu": 1.0}, section)
    assert not started[0]["tags"] and started[0]["notes"] is None


def test_agent_of_a_wandb_sweep_chooses_the_run_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    started: list[Any] = []
    monkeypatch.setattr("wandb.init", lambda **settings: started.append(settings) or MagicMock())
    wandb_logger({"project": "p", "mode": "offline"}, folder=tmp_path, **RUN)
    assert started[0]["id"] is None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("logger.wandb.mode=ofline", "logger.wandb.mode=ofline: expected 'online', 'offline'"),
        ("logger.wandb.tags=a", "logger.wandb.tags=a: expected a list in brackets"),
        ("+logger.wandb.team=x", "logger.wandb.team: no such key"),
        ("trainer.log_every_n_steps=-1", "trainer.log_every_n_steps=-1: expected a number at"),
    ],
)
def test_wrong_option_of_a_logger_is_refused(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, message: str
) -> None:
    assert go("logger=wandb", word) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_logger_without_its_package_is_refused(
    go: Go, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "mlflow" else find_spec(name)
    )
    assert go("logger=mlflow") == 2
    assert 'pip install -e ".[mlflow]"' in capsys.readouterr().err


def test_evaluation_refuses_a_logger_that_it_does_not_use(
    go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("baseline=all", "logger=tensorboard", program="evaluate") == 2
    assert "logger=wandb or logger=csv" in capsys.readouterr().err


@pytest.mark.slow
def test_metrics_are_logged_when_measured_and_epochs_count_from_one(go: Go, tmp_path: Path) -> None:
    words = ("callbacks.samples.every_n_epochs=2", "trainer.log_every_n_steps=2")
    assert go(*words, "trainer.max_epochs=3") == 0
    rows = rows_of(tmp_path)
    epochs = [row for row in rows if row["val/nll"]]
    assert [row["epoch"] for row in epochs] == ["1", "2", "3"]
    assert [bool(row["val/exact_match_renamed"]) for row in epochs] == [False, True, True]
    logged = [int(row["step"]) + 1 for row in rows if row["train/loss_step"]]
    n_steps = max(int(row["step"]) for row in rows if row["train/loss"]) + 1
    assert logged == list(range(2, n_steps + 1, 2))
    rates = [float(row["lr"]) for row in rows if row["train/loss_step"]]
    # The rate of the update, not of the next one: the schedule starts at 0 and warms up.
    assert len(rates) == len(logged)
    last = [row for row in rows if row["train/loss"]][-1]
    assert float(last["lr"]) > 0  # the rate after the last update is 0
    result = json.loads((folder_of(tmp_path) / "result.json").read_text())
    assert result["best"]["epoch"] in (1, 2, 3)


@pytest.mark.slow
def test_tensorboard_has_the_figures_of_the_metrics_file(go: Go, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert go("logger=tensorboard", "trainer.max_epochs=2", "trainer.log_every_n_steps=2") == 0
    folder = folder_of(tmp_path)
    events = EventAccumulator(str(folder.parent / "tensorboard" / folder.name))
    events.Reload()
    for name in ("val/nll", "train/loss", "train/loss_step"):
        expected = [float(row[name]) for row in rows_of(tmp_path) if row[name]]
        found = {event.step: event.value for event in events.Scalars(name)}
        assert list(found.values()) == pytest.approx(expected), name
    assert {event.value for event in events.Scalars("epoch")} == {1.0, 2.0}
    result = json.loads((folder / "result.json").read_text())
    assert events.Scalars("test/bleu")[-1].value == pytest.approx(result["test"]["bleu"])
    assert events.Scalars(loggers.BEST)[-1].value == pytest.approx(result["best"]["val/nll"])


@pytest.mark.slow
def test_mlflow_has_the_figures_of_the_metrics_file(go: Go, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    assert go("logger=mlflow", "logger.mlflow.log_model=true", "trainer.max_epochs=2") == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'out'}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'adhoc'")
    (run,) = client.search_runs([experiment.experiment_id])
    expected = [float(row["val/nll"]) for row in rows_of(tmp_path) if row["val/nll"]]
    found = [m.value for m in client.get_metric_history(run.info.run_id, "val/nll")]
    assert found == pytest.approx(expected)
    assert run.info.run_name == folder_of(tmp_path).name
    (file,) = client.list_artifacts(run.info.run_id, "checkpoints")
    best = folder_of(tmp_path) / "checkpoints" / "best.ckpt"
    assert (file.path, file.file_size) == ("checkpoints/best.ckpt", best.stat().st_size)
    assert list((tmp_path / "out" / "mlruns").rglob("best.ckpt"))  # not in the current folder
    assert run.data.params["optimizer/lr"] and int(run.data.params["n_parameters"]) > 0


def test_finished_configuration_without_a_validation_is_logged_to_a_wandb_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Any] = []
    run = MagicMock()
    run.log = lambda values, **more: logged.append(values)
    monkeypatch.setattr("wandb.init", lambda **settings: run)
    choices = dict.fromkeys(("data", "model", "embeddings", "loss"), "x")
    section = {"project": "p", "mode": "offline", "log_checkpoints": False}
    config = {"logger": {"wandb": section}, "study": "s", "seed": 1}
    folder = tmp_path / "run"
    finished: Any = SimpleNamespace(folder=folder, name="run", config=config, choices=choices)
    loggers.log_finished_run(finished, {"best": {"epoch": 1}, "test": {"bleu": 1.0}, "steps": 3})
    assert logged[0]["test/bleu"] == 1.0 and loggers.BEST not in logged[0]


@pytest.mark.slow
def test_finished_configuration_is_logged_to_a_wandb_sweep(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go("trainer.max_epochs=1") == 0
    logged: list[Any] = []
    run = MagicMock()
    run.log = lambda values, **more: logged.append(values)
    started: list[Any] = []
    monkeypatch.setattr("wandb.init", lambda **settings: started.append(settings) or run)
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert go("trainer.max_epochs=1", "logger=wandb") == 0
    result = json.loads((folder_of(tmp_path) / "result.json").read_text())
    assert started[0]["id"] is None
    assert logged[0][loggers.BEST] == result["best"]["val/nll"]
    assert logged[0]["test/bleu"] == result["test"]["bleu"]
