"""The exponential moving average of the weights."""

from pathlib import Path

import pytest

from en2py.training.checkpoints import load_checkpoint
from training_runs import EVERY_STEP, Go, assert_equal, assert_resumes_exactly, folder_of


@pytest.mark.slow
def test_average_is_the_trained_model_until_it_begins(go: Go, tmp_path: Path) -> None:
    late = "+callbacks.weight_averaging.update_starting_at_step=1000"
    assert go("callbacks=ema", late, "trainer.max_epochs=1", out="late") == 0
    assert go("trainer.max_epochs=1", out="none") == 0
    late_weights, weights = (
        load_checkpoint(folder_of(tmp_path, out) / "checkpoints" / "best.ckpt")["state_dict"]
        for out in ("late", "none")
    )
    assert_equal(dict(late_weights), dict(weights))


@pytest.mark.slow
def test_run_resumes_exactly_before_its_average_begins(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["callbacks=ema", "+callbacks.weight_averaging.update_starting_at_step=7", EVERY_STEP]
    assert_resumes_exactly(go, tmp_path, monkeypatch, words)
