"""Programs for prompts: generate.py, `prompt=` and `prompts=` of evaluate.py, `en2py.load`."""

import io
import json
import sys
from pathlib import Path

import pytest

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
    assert generate(monkeypatch, best, "--decoding", "beam", stdin=f"{prompt}\n\nadds 1\n") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["description"] for line in lines] == [prompt, "adds 1"]
    assert all(len(line["candidates"]) > 1 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("add", "--decoding", "bean"), "did you mean 'beam'"), (("xyzzy qwrty",), "knows no word")],
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
    file.write_text(f"{prompt}\n\nadds 1 to a total\n")
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
def test_load_returns_a_model_that_generates(whole: tuple[Go, Path]) -> None:
    import en2py

    model = en2py.load(whole[1] / "checkpoints" / "best.ckpt")
    texts = ["adds 1 to a total", "adds 2 to a value", "adds 3"]
    together = model.generate(texts)
    assert len(together) == 3
    assert together == [model.generate([text])[0] for text in texts]
