"""Exhausted memory is reported in one sentence with remedies."""

from typing import Any

import pytest
import torch

from en2py.errors import Fault
from en2py.training.module import Seq2SeqModule
from en2py.training.out_of_memory import report_out_of_memory
from training_runs import SMALL, Go

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    MemoryError(),
]


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["training_step", "validation_step", "predict_step"])
def test_a_run_reports_out_of_memory_with_remedies(
    go: Go, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hook: str
) -> None:
    def full(self: Seq2SeqModule, *args: Any) -> None:
        raise ERRORS[0]

    monkeypatch.setattr(Seq2SeqModule, hook, full)
    assert "batch.max_tokens=200" in SMALL
    assert go("trainer.max_epochs=1") == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "out of memory with batches of 200 target tokens" in message
    assert "batch.max_tokens=100 with trainer.accumulate_grad_batches=2" in message
    assert "a smaller model" in message


@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "cpu", "python"])
def test_every_kind_of_out_of_memory_error_is_recognized(error: Exception) -> None:
    with pytest.raises(Fault, match="use batch.max_tokens=1 or less"):
        with report_out_of_memory("or less", 3):
            raise error


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"):
        with report_out_of_memory("or less", 3):
            raise RuntimeError("shapes differ")
