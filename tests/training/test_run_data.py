"""Data of a run that are refused, and a limit without effect."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from en2py.config.composition import compose_config, without_hydra
from en2py.config.validation import resolved
from en2py.data.duplicates import LEAKAGE, leakage_sentence
from en2py.data.pairs import DataReport, Pair
from en2py.data.prepare import Prepared, TokenizedPair
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.training import run_data
from en2py.training.run_data import (
    check_lengths,
    unused_augmentation,
    unused_limit,
    with_leakage_of,
)
from training_runs import Go


@pytest.mark.parametrize(("limit", "n"), [(None, 0), (2, 0), (3, 1)])
def test_limit_above_the_number_of_training_pairs_warns(limit: int | None, n: int) -> None:
    prepared: Any = SimpleNamespace(splits={"train": [1, 2]})
    found = list(unused_limit(prepared, {"max_pairs": limit}))
    assert found == ["batch.max_pairs=3: the training split has 2 pairs, all of them used"][:n]


def test_an_own_tokenizer_without_a_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(tokenize=str.split, detokenize=" ".join, fit=None)
    monkeypatch.setattr(run_data, "make", lambda section: own)
    part = {"_target_": "own.Tokenizer"}
    words = "tokenizer.src: own.Tokenizer has no method fit, vocabulary, state_dict, load_state_d"
    with pytest.raises(UserError, match=words):
        run_data.tokenizers({"tokenizer": {"src": part, "tgt": part}})


@pytest.mark.parametrize(
    ("name", "n", "warns"), [("rename", 0, 1), ("rename", 3, 0), ("none", 0, 0)]
)
def test_augmentation_that_adds_nothing_warns(name: str, n: int, warns: int) -> None:
    prepared: Any = SimpleNamespace(report=DataReport(facts={"augmented": n}))
    found = list(unused_augmentation(prepared, {"_target_": f"en2py.data.augmentation.{name}"}))
    assert [text.partition(":")[0] for text in found] == ["augmentation=rename"][:warns]


def test_data_that_change_while_they_are_prepared_are_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, prepare = tmp_path / "pairs.jsonl", run_data.prepare
    rows = [{"text": f"task {c}", "code": f"def {c}(x):\n    return '{c}' + x"} for c in "abcdefgh"]
    file.write_text("\n".join(map(json.dumps, rows)))
    words = ["data=file", f"data.path={file}", "split=random", f"cache={tmp_path / 'cache'}"]
    config = resolved(without_hydra(compose_config("train", words)))

    def changing(**settings: Any) -> Prepared:
        file.write_text(file.read_text() + "\n")
        return prepare(**settings)

    with monkeypatch.context() as patch:
        patch.setattr(run_data, "prepare", changing)
        with pytest.raises(UserError, match="changed after it began; start the same command"):
            run_data.prepare_data(config)
    assert not list((tmp_path / "cache").glob("*.json"))
    assert run_data.prepare_data(config).pairs("train")


def test_neighbours_are_cached_by_the_pairs_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {"_target_": "en2py.data.neighbours.Neighbours", "_partial_": True,
               "k": 1, "omit": 0.1, "max_len": 50}  # fmt: skip
    config = {"neighbours": section, "split": {}, "cache": str(tmp_path)}
    found = []
    for words in (["red", "blue"], ["red", "blue", "sky"]):
        train = [
            TokenizedPair(Pair(f"s/{w}", w, f"def {w}(): return '{w}'", "s"), [], []) for w in words
        ]
        prepared: Any = SimpleNamespace(
            splits={"train": train}, pairs=lambda _, t=train: [item.pair for item in t]
        )
        found.append(run_data.neighbours(config, prepared))
    assert [len(one.near(list(p.pair for p in one.train))) for one in found if one] == [2, 3]


def test_a_run_whose_data_change_at_its_start_is_refused(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare = run_data.prepare_data

    def changing(config: Any) -> Prepared:
        with open(tmp_path / "pairs.jsonl", "a") as file:
            file.write("\n")
        return prepare(config)

    monkeypatch.setattr(run_data, "prepare_data", changing)
    assert go() == 2 and not (tmp_path / "out").exists()
    assert "a file that this run reads changed after it began" in capsys.readouterr().err


def test_leakage_is_that_of_the_pairs_of_max_pairs() -> None:
    codes = ["def f(x):\n    return x + 1", "def g(x):\n    return x * 2"]
    train = [Pair(f"s/{i}", f"task {'ab'[i]}", code, "s") for i, code in enumerate(codes)]
    held_out = [replace(pair, id=f"s/{i}") for i, pair in enumerate(train, start=2)]
    shares = dict.fromkeys(("val", "test"), dict.fromkeys(LEAKAGE, 1.0))
    report = DataReport(facts={"leakage": shares, "held_out": "single pairs"})
    prepared = Prepared(
        splits={name: [TokenizedPair(pair, [], []) for pair in pairs]
                for name, pairs in (("train", train), ("val", held_out), ("test", held_out))},
        src_vocab=Vocab.build([], 1), tgt_vocab=Vocab.build([], 1),
        src_state={}, tgt_state={}, report=report, split_hash="h",
    )  # fmt: skip
    for limit in (None, 2, 3):
        assert with_leakage_of(prepared, limit) is prepared
    limited = with_leakage_of(prepared, 1).report.to_dict()
    assert limited["facts"]["leakage"]["test"]["any"] == 0.5
    assert "in the first 1 pair of train: 50.0" in leakage_sentence(limited)
    assert report.facts["leakage"] is shares


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_a_pair_that_fits_into_the_model_is_refused(split: str) -> None:
    report = DataReport()
    report.facts = {"sizes": {"train": 9, "val": 3, "test": 3}}
    prepared: Any = SimpleNamespace(report=report)
    model = {"max_src_len": 8, "max_tgt_len": 9}
    report.facts["over_max_len"] = {"train": 0, "val": 2, "test": 2}
    check_lengths(prepared, model)
    report.facts["over_max_len"][split] = 3
    with pytest.raises(UserError, match=rf"3 {split} pairs fits into .*model.max_tgt_len=9\)"):
        check_lengths(prepared, model)
