"""When samples are generated during training."""

from types import SimpleNamespace
from typing import Any

import pytest

from en2py.training.callbacks.samples import SampleGenerations


@pytest.mark.parametrize(
    ("validation", "samples", "max_epochs", "expected"),
    [
        (1, 3, 10, [3, 6, 9, 10]),
        (1, 5, 10, [5, 10]),
        (1, 20, 10, [10]),
        (2, 3, 11, [4, 6, 10]),
        (2, 1, 5, [2, 4]),
        (4, 3, 10, [4, 8]),
        (3, 4, -1, [6, 9, 12]),
    ],
)
def test_samples_follow_at_the_next_validation_and_at_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
    validation: int,
    samples: int,
    max_epochs: int,
    expected: list[int],
) -> None:
    found: list[int] = []
    callback = SampleGenerations(1, samples)
    module: Any = SimpleNamespace(programs=lambda texts: texts)
    datamodule = SimpleNamespace(sample=lambda *_: found.append(trainer.current_epoch + 1) or [])
    trainer: Any = SimpleNamespace(
        sanity_checking=False,
        check_val_every_n_epoch=validation,
        max_epochs=max_epochs,
        datamodule=datamodule,
        loggers=[],
    )
    monkeypatch.setattr("en2py.training.callbacks.samples.GENERATED", [])
    for epoch in range(validation, (max_epochs if max_epochs > 0 else 12) + 1, validation):
        trainer.current_epoch = epoch - 1
        callback.on_validation_epoch_end(trainer, module)
    assert found == expected
