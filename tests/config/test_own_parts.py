"""Own packages in a config: `allowed_packages` and `hydra.searchpath`."""

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import en2py
from en2py.config import instantiate
from en2py.config.composition import compose_config, options_of, own_folders, with_presets
from en2py.config.instantiate import allow_packages, check_allowed
from en2py.config.messages import user_message
from en2py.config.run_name import all_digests, canonical, config_digest, settings
from en2py.config.validation import check_arguments
from en2py.data.vocab import SPECIAL_TOKENS
from en2py.errors import UserError
from en2py.training.checkpoints import AtomicCheckpointIO

OWN = {"_target_": "own_code.losses.Own"}


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the own package; allow none."""
    monkeypatch.setattr(instantiate, "_packages", [])
    instantiate.definition.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_code"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "own_code" / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "own_code" / "__init__.py").write_text("")
    (tmp_path / "own_code" / "conf" / "__init__.py").write_text("")
    (tmp_path / "own_code" / "conf" / "loss" / "own.yaml").write_text(
        f"_target_: {OWN['_target_']}\n"
    )
    file = tmp_path / "own_code" / "losses.py"
    file.write_text("from os import system\nclass Own: ...\n")
    return file


def test_an_own_package_is_refused_by_default_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"if you trust it, add 'allowed_packages=\[own_code\]'"):
        check_allowed({"loss": OWN})


def test_an_allowed_package_may_run() -> None:
    allow_packages(["own_code"])
    check_allowed({"loss": OWN})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("*, gamma: float", "it has no positional argument for the target vocabulary, which"),
        ("gamma: float", "loss.gamma: the run passes the target vocabulary as this argument"),
    ],
)
def test_a_loss_takes_the_vocabulary_first(arguments: str, message: str, module: Path) -> None:
    module.write_text(f"class Own:\n    def __init__(self, {arguments}): ...\n")
    allow_packages(["own_code"])
    section = {**OWN, "_partial_": True, "gamma": 2.0}
    with pytest.raises(UserError, match=message):
        check_arguments("loss", section, is_evaluation=False)


@pytest.mark.parametrize(
    ("at", "arguments", "message"),
    [
        ("split", "pairs, *, seed", "no positional argument for the report, which the run passes"),
        ("model", "vocab, *, d_model", "no positional argument for the size of the target voc"),
        ("decoding", "model, src, *, tokenizer", "no positional argument for the target vocab"),
        ("data.target.source", "*, path", "no positional argument for the report"),
        ("split", "pairs, report, prints, ratios", "split.ratios is needed: own_code.losses.Own"),
        ("callbacks.own", "path", "callbacks.own.path is needed: own_code.losses.Own has no"),
    ],
)
def test_a_part_takes_what_the_run_passes_and_no_more(
    at: str, arguments: str, message: str, module: Path
) -> None:
    module.write_text(f"def Own({arguments}): ...\n")
    allow_packages(["own_code"])
    section = {**OWN, "_partial_": at != "callbacks.own"}
    with pytest.raises(UserError, match=message):
        check_arguments(at, section, is_evaluation=False)


@pytest.mark.parametrize(
    ("base", "arguments", "message"),
    [
        ("object", "self", "not a subclass of pytorch_lightning.Callback"),
        ("Callback", "self, trainer", r"on_train_epoch_end takes \(self, trainer\), and Lightning"),
        ("Callback", "self, *things", ""),
        ("Callback", "self, trainer, module", ""),
    ],
)
def test_a_callback_is_one_whose_methods_take_what_lightning_passes(
    base: str, arguments: str, message: str, module: Path
) -> None:
    method = f"def on_train_epoch_end({arguments}): ..."
    module.write_text(f"from pytorch_lightning import Callback\nclass Own({base}):\n    {method}\n")
    allow_packages(["own_code"])
    with pytest.raises(UserError, match=message) if message else nullcontext():
        check_arguments("callbacks.own", OWN, is_evaluation=False)


def test_an_allowed_package_gives_no_access_to_what_it_imports() -> None:
    allow_packages(["own_code"])
    with pytest.raises(UserError, match="not a function or class that is defined there"):
        check_allowed({"loss": {"_target_": "own_code.losses.system"}})


@pytest.mark.parametrize(
    ("name", "reason"),
    [("os", "a module of Python itself"), ("own_code.", "not the name"), ("", "not the name")],
)
def test_what_is_no_own_package_is_not_allowed(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"allowed_packages={name}: .*{reason}"):
        allow_packages([name])


def test_a_missing_module_is_named_with_the_remedy() -> None:
    allow_packages(["own_code"])
    with pytest.raises(UserError, match="no module own_code.loss, .*add its folder to PYTHONPATH"):
        check_allowed({"loss": {"_target_": "own_code.loss.Own"}})


@pytest.mark.parametrize("names", [5, "own_code", {"own_code": 1}])
def test_packages_are_a_list(names: Any) -> None:
    with pytest.raises(UserError, match="expected a list in brackets"):
        allow_packages(names)


def test_a_checkpoint_cannot_allow_its_own_code(tmp_path: Path) -> None:
    config = {"loss": OWN, "allowed_packages": ["own_code"]}
    vocab: Mapping[str, Any] = {"tokens": list(SPECIAL_TOKENS), "counts": [0] * 4}
    record = {"format": 2, "config": config, "src_vocab": vocab, "tgt_vocab": vocab}
    path = tmp_path / "x.ckpt"
    AtomicCheckpointIO().save_checkpoint({"en2py": record}, path)
    with pytest.raises(
        UserError, match="loss._target_=own_code.losses.Own: the package own_code may not run"
    ):
        en2py.load(path)


def test_changed_own_code_is_another_run(module: Path) -> None:
    allow_packages(["own_code"])
    before = canonical({"loss": OWN})
    assert before["loss"]["_target_"].startswith("own_code.losses.Own@")
    module.write_text("class Own:\n    x = 1\n")
    assert canonical({"loss": OWN}) != before


def test_a_part_is_named_by_the_module_that_defines_it(module: Path) -> None:
    module.with_name("__init__.py").write_text("from own_code.losses import Own\n")
    allow_packages(["own_code"])
    config = {"loss": {"_target_": "own_code.Own"}}
    _, before = all_digests(config)
    assert before["loss._target_"].startswith("own_code.Own@")
    module.write_text("class Own:\n    x = 1\n")
    assert all_digests(config)[1] != before
    assert settings(config, {}, before) == {"loss._target_": before["loss._target_"]}


def test_allowing_a_package_does_not_rename_a_run() -> None:
    assert config_digest({"seed": 1, "allowed_packages": ["own_code"]}) == config_digest(
        {"seed": 1}
    )


@pytest.mark.parametrize("place", ["pkg://own_code.conf", "file://{folder}/own_code/conf"])
def test_a_search_path_adds_options_and_keeps_the_presets(place: str, tmp_path: Path) -> None:
    words = [f"hydra.searchpath=['{place.format(folder=tmp_path)}']"]
    cfg = compose_config("train", [*words, "loss=own", "experiment=loss_functions"])
    assert (cfg.loss, cfg.study) == (OWN, "loss_functions")
    assert "own" in options_of("loss", own_folders(words))


def test_a_missing_folder_of_the_search_path_is_refused() -> None:
    with pytest.raises(UserError, match="pkg://own_code.confs is neither"):
        with_presets(["hydra.searchpath=[pkg://own_code.confs]"])


def test_a_search_path_without_an_init_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own_code" / "more").mkdir()
    with pytest.raises(UserError, match="the folder of pkg://own_code.more has no file __init__"):
        with_presets(["hydra.searchpath=[pkg://own_code.more]"])


def test_a_mistyped_own_option_is_corrected() -> None:
    words = ["hydra.searchpath=[pkg://own_code.conf]", "loss=onw"]
    with pytest.raises(Exception) as raised:
        compose_config("train", words)
    assert user_message(raised.value, "train", words) == (
        "loss=onw: no such option; did you mean 'own'?"
    )
