"""Data of a checkpoint that is used from another folder, or whose files have moved."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from en2py.cli.main import command
from en2py.cli.programs import run_training
from en2py.data.files import file_digest
from en2py.errors import UserError
from en2py.training.checkpoints import (
    FORMAT,
    AtomicCheckpointIO,
    keep_weights,
    load_checkpoint,
    locate_data,
    locate_pieces,
)
from training_runs import Go, folder_of


def files_of(folder: Path) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """Write a data file; return a config with its relative path, and the checkpoint's record."""
    file = folder / "pairs.jsonl"
    file.write_text("{}")
    source = {"path": "pairs.jsonl", "code_field": "pairs.jsonl"}
    config = {"data": {"name": "file", "path": "pairs.jsonl", "source": source}}
    return config, {"pairs.jsonl": (str(file), file_digest(file))}


def test_typed_path_with_the_stored_content_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, files = files_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert locate_data(config, files, "x.ckpt") == config["data"]


@pytest.mark.parametrize("other", [None, "other content"])
def test_file_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str | None
) -> None:
    config, files = files_of(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    if other is not None:
        Path("pairs.jsonl").write_text(other)
    located = locate_data(config, files, "x.ckpt")
    absolute = str(tmp_path / "pairs.jsonl")
    source = {"path": absolute, "code_field": "pairs.jsonl"}
    assert located == {"name": "file", "path": absolute, "source": source}


def test_each_path_of_a_list_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = files_of(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = {"data": {"path": ["pairs.jsonl", str(tmp_path)], "source": {"fields": ["a"]}}}
    assert locate_data(config, files, "x.ckpt") == {
        "path": [str(tmp_path / "pairs.jsonl"), str(tmp_path)],
        "source": {"fields": ["a"]},
    }


def test_run_that_is_refused_for_its_data_leaves_nothing(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "other.jsonl"
    data.write_text('{"a": 1}\n')
    (tmp_path / "out").mkdir()
    assert go(f"data.path={data}", "study=a/b") == 2
    assert "no field has a known name" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_settings_of_a_split_that_the_source_fixes_are_refused(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    parts = ("train", "train", "val", "test")
    data = tmp_path / "own.json"
    data.write_text(json.dumps([{**row, "part": parts[i % 4]} for i, row in enumerate(rows)]))
    words = (f"data.path={data}", "split=official", "data.source.split_field=part")
    assert go(*words, "split.seed=2") == 2
    assert "split.seed=2: the source fixes this split;" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    words = ("baseline=constant", "data=file", *words, f"folder={tmp_path / 'out'}")
    assert go(*words, "split.ratios=[0.5,0.2,0.3]", program="evaluate") == 2
    assert "0.3]: the source fixes this split;" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert go(*words, program="evaluate") == 0


def test_pieces_whose_file_is_gone_are_those_that_the_run_keeps(tmp_path: Path) -> None:
    run, typed = tmp_path / "run", tmp_path / "pieces.json"
    checkpoint, copy = run / "checkpoints" / "best.ckpt", run / "vocab" / "pieces.json"
    pieces = {"_target_": "en2py.data.tokenizers.PythonPieces", "path": str(typed)}
    section = {"path": str(typed), "src": {"_target_": "x"}, "tgt": pieces}
    assert locate_pieces(section, checkpoint) == section  # the run has none
    copy.parent.mkdir(parents=True)
    copy.write_text("{}")
    kept = {"path": str(copy), "src": {"_target_": "x"}, "tgt": {**pieces, "path": str(copy)}}
    assert locate_pieces(section, checkpoint) == kept
    typed.write_text("{}")
    assert locate_pieces(section, checkpoint) == section
    learned = {"path": None, "tgt": {**pieces, "path": None}}
    assert locate_pieces(learned, checkpoint) == learned


def test_a_loaded_checkpoint_names_the_pieces_that_are_there_and_its_file_the_typed_ones(
    tmp_path: Path,
) -> None:
    typed, copy = tmp_path / "typed.json", tmp_path / "run" / "vocab" / "pieces.json"
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    for folder in (copy.parent, path.parent):
        folder.mkdir(parents=True)
    copy.write_text("{}")
    record = {"format": FORMAT, "config": {"tokenizer": {"path": str(typed)}}}
    rest = ("epoch", "global_step", "pytorch-lightning_version", "state_dict", "optimizer_states")
    AtomicCheckpointIO().save_checkpoint({"en2py": record, **dict.fromkeys(rest)}, path)
    assert load_checkpoint(path)["en2py"]["config"]["tokenizer"] == {"path": str(copy)}
    keep_weights(path)
    typed.write_text("{}")
    assert load_checkpoint(path)["en2py"]["config"]["tokenizer"] == {"path": str(typed)}


@pytest.mark.slow
def test_a_run_resumes_with_data_that_have_moved(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, moved = tmp_path / "own.jsonl", tmp_path / "moved.jsonl"
    (tmp_path / "pairs.jsonl").rename(data)
    assert go(f"data.path={data}", "data.source.tests_field=null", "trainer.max_epochs=1") == 0
    data.rename(moved)
    last = folder_of(tmp_path) / "checkpoints" / "last.ckpt"
    words = ("train.py", f"ckpt_path={last}", "trainer.max_epochs=2", f"output={tmp_path / 'more'}")

    def resumed(*more: str) -> int:
        return command(run_training, "train", argv=[*words, f"cache={tmp_path / 'cache'}", *more])

    assert resumed() == 2
    assert "data=file data.path=FILE names its present place" in capsys.readouterr().err
    assert resumed("data=file", f"data.path={moved}") == 0
    config = OmegaConf.load(folder_of(tmp_path, "more") / "config.yaml")
    assert config.data.source.path == str(moved) and config.data.source.tests_field is None


def test_missing_file_is_named_as_training_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, files = files_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").unlink()
    with pytest.raises(UserError, match="the training data of 'x.ckpt'.*; data.path=FILE names"):
        locate_data(config, files, "x.ckpt")
    with pytest.raises(UserError, match="; put it back$"):
        locate_data(config, files, "x.ckpt", "put it back")
    pretraining = {"data": {"path": None, "target": {"source": {"path": "pairs.jsonl"}}}}
    with pytest.raises(UserError, match="; put it there again$"):
        locate_data(pretraining, files, "x.ckpt")
    config["data"]["source"] = {"path": {"train": "pairs.jsonl", "test": "pairs.jsonl"}}
    with pytest.raises(UserError, match="; 'data.path={train:FILE,test:FILE}' names its present"):
        locate_data({"data": {"source": config["data"]["source"]}}, files, "x.ckpt")
    config["data"]["source"] = {"sources": {"main": {"path": "pairs.jsonl"}}}
    config["data"]["path"] = None
    with pytest.raises(UserError, match="'data.path={main:FILE}' names its present place"):
        locate_data(config, files, "x.ckpt")
    config["data"]["path"] = "pairs.jsonl"
    with pytest.raises(UserError, match="data.path=FILE names"):  # a checkpoint without the record
        locate_data(config, {}, "x.ckpt")
