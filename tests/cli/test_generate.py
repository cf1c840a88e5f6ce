"""Programs for prompts: generate.py, `prompt=` and `prompts=` of evaluate.py, `en2py.load`."""

import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import en2py
from en2py.cli.generate import _programs
from en2py.cli.programs import in_own_words
from en2py.errors import UserError
from en2py.training.module import Seq2SeqModule
from training_runs import Go


def generate(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = "") -> int:
    """Run generate.py with arguments and a text on stdin."""
    from generate import main

    monkeypatch.setattr(sys, "argv", ["generate.py", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    return main()


@pytest.mark.slow
def test_generate_prints_what_evaluate_prints_for_the_same_prompt(
    whole: tuple[Go, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    best = str(folder / "checkpoints" / "best.ckpt")
    prompt = "add 3 to (a, b), don't say x == 'y' or ${z}"
    assert go(f"ckpt_path={best}", f"prompt={prompt}", program="evaluate") == 0
    expected = capsys.readouterr().out
    assert generate(monkeypatch, best, prompt) == 0
    assert capsys.readouterr().out == expected
    words = (best, "--decoding", "beam_size=2", prompt, "--decoding", "beam")  # at any place
    assert generate(monkeypatch, *words) == 0
    assert re.search(r"the program is cut at the length limit: \d+ tokens", capsys.readouterr().err)
    assert generate(monkeypatch, best, prompt, "--decoding", "max_len=2") == 0
    assert "the program is cut at the length limit: 2 tokens" in capsys.readouterr().err
    assert generate(monkeypatch, best, "--decoding", "beam", stdin=f"{prompt}\nadds 1\n") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["description"] for line in lines] == [prompt, "adds 1"]
    assert all(len(line["candidates"]) > 1 for line in lines)


@pytest.mark.slow
def test_accelerator_is_the_device_that_generates(
    whole: tuple[Go, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    words = [str(folder), "prompt=add 3 to a total"]
    if not torch.cuda.is_available():
        assert go(*words, "trainer.accelerator=gpu", program="evaluate") == 2
        assert "trainer.accelerator=gpu: this machine has no such" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    devices = []
    candidates = Seq2SeqModule.candidates

    def recorded(self: Seq2SeqModule, *args: Any, **more: Any) -> Any:
        devices.append(self.device.type)
        return candidates(self, *args, **more)

    monkeypatch.setattr(Seq2SeqModule, "candidates", recorded)
    assert go(*words, "trainer.accelerator=cpu", program="evaluate") == 0
    assert devices == ["cpu"]


@pytest.mark.slow
def test_generate_reports_out_of_memory_in_one_sentence(
    whole: tuple[Go, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Seq2SeqModule, *args: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Seq2SeqModule, "candidates", full)
    capsys.readouterr()
    assert generate(monkeypatch, str(whole[1]), "add 3") == 1
    error = capsys.readouterr().err.splitlines()[-1]  # behind the unknown words
    assert error.startswith("out of memory: use --decoding greedy")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "--decoding", "bean"), "did you mean 'beam'"),
        (("add", "--decoding", "max_len=9999"), "longer than the model supports"),
        (("xyzzy qwrty",), "knows no word"),
    ],
)
def test_generate_refuses_in_one_sentence(
    whole: tuple[Go, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    best = str(whole[1] / "checkpoints" / "best.ckpt")
    capsys.readouterr()
    assert generate(monkeypatch, best, *arguments) == 2
    streams = capsys.readouterr()
    assert reason in streams.err and streams.out == "" and streams.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.ckpt", "add"), "CHECKPOINT: missing.ckpt does not exist"),
        (("https://x/best.ckpt", "add"), "CHECKPOINT https://x/best.ckpt: a URL; download it"),
        (("README.md", " "), "TEXT is empty"),
        (("README.md", "add", "--decoding", "bean"), "--decoding bean: no such option"),
    ],
)
def test_messages_of_generate_have_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert generate(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert "ckpt_path" not in error and "prompt" not in error and "decoding=" not in error


def test_a_message_names_the_option_that_allows_a_package() -> None:
    message = (
        "the package own_parts may not run; if you trust it, add 'allowed_packages=[own_parts]'"
    )
    assert in_own_words(message).endswith("if you trust it, add --allow own_parts")


@pytest.mark.parametrize("option", ["data.path=FILE", "'data.path={main:FILE}'"])
def test_a_message_names_no_option_of_another_program(option: str) -> None:
    message = f"x does not exist: it is the training data of 'y'; {option} names its present place"
    assert in_own_words(message).endswith("of 'y'; put it there again")


def test_only_the_checkpoint_is_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        generate(monkeypatch)
    assert "required: CHECKPOINT\n" in capsys.readouterr().err


def test_a_text_without_quotes_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stop:
        generate(monkeypatch, "a.ckpt", "b.ckpt", "add", "two")
    assert stop.value.code == 2 and 'put it in quotes, "add two"' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        generate(monkeypatch, "a.ckpt", str(tmp_path), "add", "three")  # the folder of a run
    assert 'put it in quotes, "add three"' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        generate(monkeypatch, "a.ckpt", "add two", "print three")
    assert "one TEXT at a time; several descriptions are lines of stdin" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("decoding=beam", "add two"), ("add two", "decoding=beam")])
def test_an_override_beside_the_text_is_refused_with_its_option(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        generate(monkeypatch, "a.ckpt", *words)
    assert stop.value.code == 2
    assert "decoding=beam: write --decoding beam\n" in capsys.readouterr().err


@pytest.mark.slow
def test_each_of_several_checkpoints_generates_a_program(
    whole: tuple[Go, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = whole[1] / "checkpoints"
    files = [str(folder / name) for name in ("best.ckpt", "last.ckpt")]
    capsys.readouterr()
    assert generate(monkeypatch, *files, "adds 1 to a total") == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("#")] == [
        f"# {whole[1].name} ({file})" for file in files
    ]
    assert generate(monkeypatch, *files, stdin="adds 1 to a total\n") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["checkpoint"] for record in records] == files
    assert all(record["line"] == 1 and record["code"] in printed for record in records)


@pytest.mark.slow
def test_prompts_print_code_alone_on_stdout(
    whole: tuple[Go, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    best = f"ckpt_path={folder / 'checkpoints' / 'best.ckpt'}"
    capsys.readouterr()
    prompt = "add 3 to (a, b), don't say x == 'y' or ${z}"
    assert go(best, f"prompt={prompt}", program="evaluate") == 0
    one = capsys.readouterr()
    assert "words that the model does not know" in one.err
    file = tmp_path / "prompts.txt"
    file.write_text(f"{prompt}\nadds 1 to a total\n")
    assert go(best, f"prompts={file}", program="evaluate") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["description"] for line in lines] == [prompt, "adds 1 to a total"]
    assert lines[0]["code"].rstrip("\n") == one.out.rstrip("\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "reason"),
    [("", "prompt"), ("add " * 200, "at most"), ("xyzzy qwrty", "knows no word")],
)
def test_unreadable_prompt_is_refused(
    whole: tuple[Go, Path], prompt: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    best = f"ckpt_path={folder / 'checkpoints' / 'best.ckpt'}"
    capsys.readouterr()
    assert go(best, f"prompt={prompt}", program="evaluate") == 2
    streams = capsys.readouterr()
    assert reason in streams.err and streams.out == "" and streams.err.count("\n") == 1


@pytest.mark.slow
def test_each_line_of_prompts_has_a_program_or_an_error(
    whole: tuple[Go, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go, folder = whole
    file = tmp_path / "prompts.txt"
    good = ["adds 1\u2028to a total", "adds 2\fto a\x1ctotal\x85", "adds 3"]
    bad = ["", "add " * 200, "xyzzy qwrty", "long " * 250_000]
    texts = [good[0], bad[0], good[1], *bad[1:], good[2]]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    capsys.readouterr()
    best = f"ckpt_path={folder / 'checkpoints' / 'best.ckpt'}"
    assert go(best, f"prompts={file}", program="evaluate") == 1
    streams = capsys.readouterr()
    records = [json.loads(line) for line in streams.out.splitlines()]
    assert [record["line"] for record in records] == [1, 2, 3, 4, 5, 6, 7]
    assert ["error" in record for record in records] == [text in bad for text in texts]
    assert ["code" in record for record in records] == [text in good for text in texts]
    assert [records[i]["description"] for i in (0, 2)] == ["adds 1 to a total", "adds 2 to a total"]
    assert "4 of 7 lines have no program, see their records: line 2, 4, 5, 6" in streams.err


@pytest.fixture(scope="module")
def model(whole: tuple[Go, Path]) -> Any:
    return en2py.load(whole[1] / "checkpoints" / "best.ckpt")


@pytest.mark.slow
def test_a_text_returns_a_program_and_a_list_returns_a_list(model: Any) -> None:
    texts = ["adds 1 to a total", "adds 2 to a value", "adds 3"]
    programs = model.generate(texts)
    assert len(programs) == 3
    assert programs == model.generate(iter(texts)) == [model.generate(text) for text in texts]
    assert model.generate([]) == []


@pytest.mark.slow
def test_a_description_is_cleaned_like_those_of_the_training(model: Any) -> None:
    tokens = model.tokenize_description("adds 1 to a total", "it")
    assert model.tokenize_description("Q1. adds 1 to a  total.", "it") == tokens
    assert model.tokenize_description(".", "it") == ["."]
    ranked: list[str] = []

    def rank(descriptions: Sequence[str], written: list[list[str]]) -> list[list[str]]:
        ranked.extend(descriptions)
        return written

    _programs(model, rank, ["Q1. adds 1 to a  total."])
    assert ranked == ["adds 1 to a total"]


@pytest.mark.slow
def test_an_unknown_word_is_a_warning(model: Any) -> None:
    with pytest.warns(UserWarning, match="descriptions.1. has words that .* not know: wombat$"):
        model.generate(["adds 1 to a total", "adds wombat to a total"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("descriptions", "reason"),
    [
        ([None], "descriptions[0] is None, not a text"),
        (["adds 1", b"adds 2"], "descriptions[1] is b'adds 2', not a text"),
        (["adds 1", " \n"], "descriptions[1] is empty"),
        (["adds 1", "adds " * 200], "descriptions[1] has 200 tokens, the model reads at most"),
        (["adds 1", "xyzzy qwrty"], "knows no word of descriptions[1] 'xyzzy qwrty'"),
        ("", "the description is empty"),
        (None, "descriptions=None: expected a text or a list"),
        (b"adds 1", "descriptions=b'adds 1': expected a text or a list"),
    ],
)
def test_a_wrong_description_is_named_by_its_index(
    model: Any, descriptions: Any, reason: str
) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        model.generate(descriptions)


@pytest.mark.slow
def test_candidates_of_a_single_text_are_refused(model: Any) -> None:
    with pytest.raises(UserError, match="descriptions='adds 1': expected a list of texts"):
        model.candidates("adds 1")


def test_load_expands_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"there is no checkpoint '{tmp_path}/x.ckpt'"):
        en2py.load("~/x.ckpt")
