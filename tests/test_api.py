"""The Python API: `en2py.compose`, `en2py.train`, the version, the names of the package."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

import en2py
from en2py.config.composition import compose_config
from en2py.training.module import Seq2SeqModule
from training_runs import SMALL, folder_of, runner, stop_at


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], en2py.TrainedRun]:
    """Return the words of a run of the API, and the run."""
    folder = tmp_path_factory.mktemp("api")
    runner(folder)  # writes the data
    places = [f"data.path={folder / 'pairs.jsonl'}", f"output={folder / 'out'}"]
    small = [word for word in SMALL if not word.startswith("trainer.max_epochs=")]
    words = [*small, *places, f"cache={folder / 'cache'}", "trainer.max_epochs=1"]
    return words, en2py.train(*words)


@pytest.mark.slow
def test_train_returns_what_the_command_line_trains(
    trained: tuple[list[str], en2py.TrainedRun],
) -> None:
    words, run = trained
    assert run.folder == folder_of(run.folder.parents[2])
    result = json.loads((run.folder / "result.json").read_text())
    assert run.result == result
    assert run.metrics["val/nll"] == result["best"]["val/nll"]
    assert run.metrics["test/bleu"] == result["test"]["bleu"]
    assert repr(run).endswith(f"val/nll={result['best']['val/nll']:.3f})")


@pytest.mark.slow
def test_the_model_of_a_run_generates(trained: tuple[list[str], en2py.TrainedRun]) -> None:
    text = "write a function that adds 1 to a total"
    assert trained[1].model.generate([text]) == [trained[1].model.generate(text)]


@pytest.mark.slow
def test_train_returns_a_finished_run_without_training(
    trained: tuple[list[str], en2py.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, run = trained
    stop_at(monkeypatch, "training_step", 1)
    assert en2py.train(*words) == run


@pytest.mark.slow
def test_a_signal_is_an_interrupt_of_the_caller(
    trained: tuple[list[str], en2py.TrainedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Seq2SeqModule, batch: Any, batch_idx: int) -> None:
        raise SystemExit(130)

    monkeypatch.setattr(Seq2SeqModule, "training_step", stopped)
    with pytest.raises(KeyboardInterrupt, match="the same call resumes"):
        en2py.train(*trained[0], "seed=2")


def test_keywords_compose_as_words() -> None:
    by_word = en2py.compose(
        "loss=smoothed", "tokenizer/tgt=bpe", "trainer.max_epochs=3", "study=a b, 'c'"
    )
    by_keyword = en2py.compose(
        loss="smoothed", tokenizer={"tgt": "bpe"}, trainer={"max_epochs": 3}, study="a b, 'c'"
    )
    assert by_keyword == by_word
    assert by_keyword.study == "a b, 'c'"


def test_a_keyword_takes_values_of_python(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}, 1.jsonl" for name in ("train", "val", "test")}
    for file in files.values():
        file.write_text("{}")
    paths = {name: str(file) for name, file in files.items()}
    cfg = en2py.compose(
        data="file", split="official", **{"data.path": paths, "batch.max_pairs": None},
        optimizer={"betas": [0.8, 0.9]}, fresh=True,
    )  # fmt: skip
    assert cfg.data.path == paths
    assert cfg.optimizer.betas == [0.8, 0.9]
    assert cfg.fresh is True


def test_numbers_of_numpy_are_numbers() -> None:
    settings = {"lr": np.float32(0.5), "betas": np.array([0.5, 0.25]), "fused": np.bool_(False)}
    cfg = en2py.compose(seed=np.int64(3), optimizer=settings)
    assert cfg.seed == 3
    assert (cfg.optimizer.lr, cfg.optimizer.betas, cfg.optimizer.fused) == (0.5, [0.5, 0.25], False)


def test_compose_equals_the_composition_of_train() -> None:
    composed = compose_config("train", ["model=tiny"])
    cfg = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    assert en2py.compose("model=tiny") == cfg


@pytest.mark.parametrize(
    ("words", "settings", "reason"),
    [
        (["loss=smoth"], {}, "loss=smoth: no such option; did you mean 'smoothed'?"),
        ([], {"los": "plain"}, "los: no such key; did you mean loss?"),
        ([], {"model": {"n_heads": 7}}, "model.n_heads=7: does not divide"),
        (["loss=plain,smoothed"], {}, "a sweep; the command line runs one: python train.py -m"),
        (["data.path=a b", "seed=1,2"], {}, "python train.py -m 'data.path=a b' seed=1,2 output="),
        (
            ["optimizer.lr=interval(0.1,0.2)"],
            {},
            "train.py -m hydra/sweeper=search 'optimizer.lr=interval(0.1,0.2)'",
        ),
        (["loss.label_smoothing=[0"], {}, "loss.label_smoothing=[0: this value cannot be parsed"),
        (["-m"], {}, "'-m' is not of the form 'key=value'"),
        ([None], {}, "None is not of the form 'key=value'"),
        (["hydra/launcher=joblib"], {}, "hydra/launcher=joblib: only the command line"),
        (["scheduler=noam"], {"optimizer": {"lr": 0.1}}, "optimizer.lr=0.1: scheduler=noam sets"),
        (
            ["trainer=ddp", "split.ratios=[0.5,0.2,0.3]"],
            {},
            "the command line: python train.py trainer=ddp 'split.ratios=[0.5,0.2,0.3]' output=",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[Any], settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(en2py.UserError) as raised:
        en2py.train(*words, output=str(tmp_path / "out"), **settings)
    assert reason in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_two_values_of_a_key_are_refused() -> None:
    with pytest.raises(en2py.UserError, match="loss has two values"):
        en2py.compose("loss=plain", loss="smoothed")


def test_the_package_names_its_version() -> None:
    assert en2py.__version__ == version("en2py")


def test_every_public_name_is_found() -> None:
    assert all(getattr(en2py, name) for name in dir(en2py))


def test_composing_imports_neither_torch_nor_the_command_line() -> None:
    code = (
        "import sys, en2py; en2py.TrainedRun;"
        "print(*[m for m in sys.modules if m == 'torch' or m.startswith('en2py.cli')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
