"""What a run prints before and after training."""

from typing import Any

import pytest

from en2py.cli.tables import log_fields, log_warnings, print_choices, print_result, print_samples
from en2py.console import configure_logging
from en2py.training.run_folder import SWEEP_ID


@pytest.fixture(autouse=True)
def _printed() -> None:
    configure_logging()


def test_only_choices_that_differ_from_the_defaults_are_printed(capsys: Any) -> None:
    choices = {"data": "tasks", "model": "tiny", "loss": "plain", "tokenizer/src": "bpe"}
    print_choices(choices, ["~experiment", "model=tiny", "seed=2", "output='/tmp/a b'"])
    assert capsys.readouterr().out == (
        "differs from the defaults: model=tiny  tokenizer/src=bpe  seed=2  output=/tmp/a b\n"
    )


def test_what_a_preset_chooses_is_not_printed_as_typed(capsys: Any) -> None:
    choices = {"experiment": "tasks", "data": "tasks", "model": "tiny", "trainer": "smoke"}
    print_choices(choices, ["trainer=smoke", "batch.max_pairs=300"])
    print_choices({**choices, "trainer": "short"}, ["experiment=tasks"])
    pieces = {"tokenizer": "pieces", "tokenizer/src": "pieces", "tokenizer/tgt": "pieces"}
    print_choices({"experiment": "seeds", **pieces}, ["experiment=seeds", "tokenizer=pieces"])
    assert capsys.readouterr().out.splitlines() == [
        "preset experiment=tasks: model=tiny",
        "changed: trainer=smoke  batch.max_pairs=300",
        "preset experiment=tasks: model=tiny  trainer=short",
        "preset experiment=seeds",
        "changed: tokenizer=pieces",
    ]


def test_recognized_fields_name_the_keys_that_set_others(capsys: Any) -> None:
    facts = {"own: fields": "code from 'a'"}
    log_fields({"facts": facts})
    assert "fields of own: code from 'a' (others: data.source.desc" in capsys.readouterr().out
    log_fields({"facts": {**facts, "mixture: main source": "tasks"}})
    assert "(others: data.source.sources.own.description_field" in capsys.readouterr().out


def test_a_run_with_the_defaults_says_so(capsys: Any) -> None:
    print_choices({"data": "tasks", "model": "small"}, [])
    assert "differs from the defaults: nothing" in capsys.readouterr().out


def test_a_resumed_run_says_where_its_other_settings_are_from(capsys: Any) -> None:
    print_choices({"data": "tasks", "model": "small"}, ["ckpt_path='a.ckpt'"])
    assert "ckpt_path=a.ckpt; all else as in the checkpoint" in capsys.readouterr().out


def test_the_headline_metrics_have_a_small_table(capsys: Any) -> None:
    result = {
        "best": {"val/nll": 1.25, "epoch": 7, "lr": 0.1},
        "test": {"n": 2100, "passes_tests": 0.827, "compiles": 1.0, "nll": 1.5, "has_unk": 0.5},
    }
    print_result(result)
    printed = capsys.readouterr().out
    assert "best checkpoint of epoch 7 on 2,100 test pairs" in printed
    rows = [line.split() for line in printed.splitlines() if line.strip()][3:]
    assert rows == [["passes,", "%", "82.7"], ["compiles,", "%", "100.0"], ["val/nll", "1.250"]]


def test_without_a_validation_the_last_checkpoint_is_named(capsys: Any) -> None:
    print_result({"best": {"train/loss": 1.5, "epoch": 2}, "test": {"n": 3, "compiles": 1.0}})
    assert "last checkpoint of epoch 2 on 3 test pairs" in capsys.readouterr().out


def test_a_warning_of_the_data_is_printed_once_per_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warnings = ["few pairs"]
    with caplog.at_level("WARNING"):
        for sweep in ("first", "first", "second"):
            monkeypatch.setenv(SWEEP_ID, sweep)
            log_warnings(warnings)
    assert caplog.messages == ["warning: few pairs"] * 2


def test_a_weak_program_is_shortened(capsys: Any) -> None:
    program = "\n\n".join(f"    ):{i}" for i in range(100)) + "\n" * 50
    print_samples([("add", "def f(): pass", program, "does not compile")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 20 and "... 88 more lines" in lines


def test_a_program_that_prints_the_word_exact_is_not_exact(capsys: Any) -> None:
    verdict = "compiles, differs: () gave 'exact', the reference 'near'"
    print_samples([("name a match", "def f(): return 'near'", "def f(): ...", verdict)])
    assert "the reference:\ndef f(): return 'near'" in capsys.readouterr().out
