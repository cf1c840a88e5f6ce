"""Small runs through the command line, and assertions that two runs are equal."""

import csv
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from matplotlib.figure import Figure

from en2py.cli.main import command
from en2py.evaluation import aggregation
from en2py.evaluation.plots import attention, curves
from en2py.evaluation.plots.figures import Picture
from en2py.evaluation.statistics import cluster_bootstrap
from en2py.training.callbacks.throughput import TIMES
from en2py.training.checkpoints import load_checkpoint
from en2py.training.module import Seq2SeqModule

ROOT = Path(__file__).parents[1]


BLANK = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'  # a picture
FEW_RESAMPLES = partial(cluster_bootstrap, n_resamples=50)
EVERY_STEP = "checkpoints.every_n_steps=1"


Go = Callable[..., int]


SMALL = [
    "data=file",
    "split=random",
    "model=tiny",
    "model.d_model=32",
    "model.d_ff=64",
    "model.n_heads=2",
    "model.dropout=0.2",
    "batch.max_tokens=200",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "callbacks.samples.n_samples=2",
    "callbacks.samples.every_n_epochs=1",
    "decoding.max_len=12",
    "logger=csv",
    "processes=1",
    "checkpoints.keep=all",
    "behaviour=false",  # two sandboxes for the oracles take half as long as the run
]


def runner(folder: Path) -> Go:
    """Return a function that runs train.py or evaluate.py; all files are in one folder.

    Its data are forty small programs, so that an epoch has a few batches. Pictures are blank, and
    intervals are of few resamples: both take longer than training.
    """
    data = folder / "pairs.jsonl"
    lines = [
        {
            "description": f"write a function that adds {i} to a {name}",
            "code": f"def add({name}):\n    return {name} + {i}\n",
        }
        for name in ("total", "value", "number", "item")
        for i in range(10)
    ]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(*overrides: str, program: str = "train", out: str = "out") -> int:
        if program == "train":
            from en2py.cli.programs import run_training as main

            fixed = [*SMALL, f"data.path={data}", f"output={folder / out}"]
        else:
            from en2py.cli.programs import run_evaluation as main

            has_model = any(o.startswith(("ckpt_path=", "/")) for o in overrides)
            fixed = ["trainer.accelerator=cpu"] * has_model
        keys = {o.lstrip("+").split("=")[0] for o in overrides}
        kept = [o for o in fixed if o.split("=")[0] not in keys]
        words = [f"{program}.py", *kept, f"cache={folder / 'cache'}", *overrides]
        with (
            mock.patch.object(curves, "curves_figure", return_value=Figure()),
            mock.patch.object(attention, "attention_figure", return_value=Figure()),
            mock.patch.object(Picture, "_saved", return_value=BLANK),
            mock.patch.object(aggregation, "cluster_bootstrap", FEW_RESAMPLES),
        ):
            return command(main, program, argv=words)

    return run


def folder_of(tmp_path: Path, out: str = "out") -> Path:
    (folder,) = (f for f in (tmp_path / out / "adhoc").glob("*-seed*") if f.is_dir())
    return folder


def metrics(folder: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv without times."""
    with open(folder / "metrics.csv") as file:
        return [{k: v for k, v in r.items() if k not in TIMES} for r in csv.DictReader(file)]


def assert_equal(a: Any, b: Any, at: str = "") -> None:
    assert type(a) is type(b), at
    if isinstance(a, dict):
        assert a.keys() == b.keys(), at
        for key in a:
            assert_equal(a[key], b[key], f"{at}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{at}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), at
    else:
        assert a == b, at


def assert_same_run(a: Path, b: Path) -> None:
    """Assert equal weights, optimizers, schedulers, metric states, records and best epochs."""
    for name in ("last.ckpt", "best.ckpt"):
        one, two = (load_checkpoint(folder / "checkpoints" / name) for folder in (a, b))
        for checkpoint in (one, two):
            checkpoint["callbacks"].pop("TrainingTime")
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch",
                    "global_step"):  # fmt: skip
            assert_equal(one[key], two[key], f"{name}/{key}")
    assert metrics(a) == metrics(b)
    results = [json.loads((folder / "result.json").read_text()) for folder in (a, b)]
    for result in results:
        result.pop("seconds")
        result.pop("test_seconds")
        result["best"] = {k: v for k, v in result["best"].items() if k not in TIMES}
        result.pop("overrides")
    assert results[0] == results[1]


class Stop(RuntimeError):
    """The error that a test raises inside of a run."""


def stop_at(monkeypatch: pytest.MonkeyPatch, hook: str, call: int) -> None:
    """Make a hook of the module raise at its n-th call."""
    original = getattr(Seq2SeqModule, hook)
    calls = iter(range(1, 10**6))

    def hooked(self: Seq2SeqModule, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise Stop(f"{hook} {call}")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Seq2SeqModule, hook, hooked)


def assert_resumed_equals_uninterrupted(
    go: Go,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: Sequence[str],
    step: int,
    *until_stopped: str,
) -> None:
    """Stop at a training step, resume, and compare with the run in `whole`."""
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", step)
        with pytest.raises(Stop):
            go(*overrides, *until_stopped, out="stopped")
    assert go(*overrides, out="stopped") == 0
    assert_same_run(folder_of(tmp_path, "whole"), folder_of(tmp_path, "stopped"))


def assert_resumes_exactly(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    """Train without and with an interruption, and compare the results."""
    assert go(*overrides, out="whole") == 0
    assert_resumed_equals_uninterrupted(go, tmp_path, monkeypatch, overrides, 6, EVERY_STEP)
