"""Failures of W&B do not stop a run, and metrics.csv is complete."""

import csv
import json
import socket
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import wandb

from en2py.data.files import disk_full, read_csv
from en2py.errors import Fault
from en2py.training import loggers
from en2py.training.loggers import (
    FaultTolerantWandbLogger,
    MetricsFile,
    finish_wandb,
    wandb_logger,
    wandb_mode,
)
from training_runs import Go, folder_of

RUN: dict[str, Any] = {"project": "p", "name": "r", "run_id": "i", "group": "s"}


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
def test_wandb_disabled_wins_over_the_mode(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_DISABLED", value)
    assert wandb_mode() == "disabled"


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
    assert wandb_logger(folder=tmp_path, **RUN).disabled
    (message,) = [r.getMessage() for r in caplog.records if r.name == loggers.__name__]
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
        monkeypatch.setattr(loggers, "_START_SECONDS", 1.0)
        wandb.teardown()  # an earlier test's session has read another environment
        logger = wandb_logger(folder=tmp_path, **RUN)
        assert not logger.disabled
        finish_wandb()
        wandb.teardown()
    assert list(tmp_path.glob("wandb/offline-run-*/run-i.wandb"))
    (message,) = [r.getMessage() for r in caplog.records if r.name == loggers.__name__]
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
    logger = wandb_logger(folder=tmp_path, **RUN)
    assert started[0]["settings"].init_timeout <= 14
    assert started[0]["settings"].finish_timeout == 30
    assert logger._wandb_init["mode"] == "offline" and not logger.disabled
    assert "does not respond (TimeoutError: no answer)" in caplog.messages[0]


def test_the_time_of_the_login_counts_towards_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(loggers, "wandb_mode", lambda: "online")
    started: list[Any] = []
    monkeypatch.setattr("wandb.init", lambda **settings: started.append(settings) or MagicMock())
    wandb_logger(folder=tmp_path, **RUN)
    assert started[0]["settings"].init_timeout == 5


def test_tables_of_runs_show_the_best_nll_instead_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = wandb_logger(folder=tmp_path, **RUN)
    for step, nll in enumerate((3.0, 1.0, 2.0)):
        logger.log_metrics({"val/nll": nll}, step=step)
    assert dict(logger.experiment.summary["val/nll"]) == {"min": 1.0}
    assert logger.experiment.group == "s" and logger.experiment.name == "r"
    finish_wandb()


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


def test_epochs_count_from_1_and_the_test_has_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = MetricsFile(path, None)
    logger.log_metrics({"val/nll": 1.0, "epoch": 0}, step=9)
    logger.log_metrics({"test/nll": 1.0, "epoch": 1}, step=10)
    logger.save()
    assert read_csv(path) == [
        {"step": "9", "epoch": "1", "val/nll": "1.0"},
        {"step": "10", "test/nll": "1.0"},
    ]


def test_rows_of_an_older_file_are_counted_from_1_when_a_run_resumes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,val/nll\n9,0,3.5\n19,1,2.5\n29,2,2.0\n")
    logger = MetricsFile(path, until_step=20)
    assert [row["epoch"] for row in logger.rows] == ["1", "2"]


def test_a_failed_write_of_metrics_does_not_hide_the_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = MetricsFile(tmp_path / "metrics.csv", None)
    logger.log_metrics({"a": 1.0}, step=1)
    full = disk_full(logger.path, 10)
    monkeypatch.setattr(loggers, "write_atomically", raising(full))
    logger.finalize("failed")
    with pytest.raises(Fault):
        logger.finalize("success")
