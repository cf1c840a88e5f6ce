import logging
from pathlib import Path

import pytest
import torch

from en2py.training import cpu_threads
from en2py.training.cpu_threads import warn_of_busy_cores


@pytest.mark.parametrize(
    ("running", "n_threads", "device", "advice"),
    [
        (4, 4, "cpu", "OMP_NUM_THREADS=1"),  # this process and three others on four cores
        (3, 4, "cpu", "OMP_NUM_THREADS=2"),
        (30, 2, "cpu", "OMP_NUM_THREADS=1"),
        (1, 4, "cpu", None),
        (3, 2, "cpu", None),
        (4, 1, "cpu", None),
        (4, 4, "cuda", None),
    ],
)
def test_threads_without_a_core_are_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    running: int,
    n_threads: int,
    device: str,
    advice: str | None,
) -> None:
    loads = tmp_path / "loadavg"
    loads.write_text(f"1.62 2.15 2.56 {running}/81 21225\n")
    monkeypatch.setattr(cpu_threads, "_LOADS", loads)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    warn_of_busy_cores(torch.device(device))
    text = "".join(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert advice in text if advice else not text


def test_a_moment_without_other_programs_is_no_busy_machine(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counts = iter([5, 5, 1])
    monkeypatch.setattr(cpu_threads, "_n_running", lambda: next(counts))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    warn_of_busy_cores(torch.device("cpu"))
    assert not caplog.messages
