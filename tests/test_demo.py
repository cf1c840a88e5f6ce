import copy
import functools
import json
import math
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import demo
import pytest
import torch
from demo import (
    ATTENTION,
    Answer,
    Program,
    attention_table,
    call_of,
    example_descriptions,
    generate,
    percentage,
    run_program,
    summary_line,
    verdict_html,
)

from en2py.data.tokenizers import EnglishTokenizer, PythonTokenizer
from en2py.decoding.greedy import greedy
from en2py.errors import UserError
from en2py.models.transformer import Transformer
from en2py.training.module import Seq2SeqModule

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = Path("/usr/bin/chromium")
MAX_LEN = 12
ADD = "def add(a, b):\n    return a + b"
SANDBOX = {"timeout_s": 1.0, "memory_mb": 256, "workers": None, "min_level": "process"}


@pytest.fixture
def module(src_vocab, tgt_vocab) -> Seq2SeqModule:
    torch.manual_seed(0)
    model = functools.partial(Transformer, d_model=16, d_ff=32, n_heads=2, dropout=0.0)
    return Seq2SeqModule(
        model=model(
            len(src_vocab),
            len(tgt_vocab),
            tgt_vocab.pad_id,
            n_encoder_layers=2,
            n_decoder_layers=2,
            max_src_len=20,
            max_tgt_len=MAX_LEN,
            positions="rotary",
            norm="pre",
            tie_embeddings="none",
        ),
        loss=None,
        optimizer=None,
        scheduler=None,
        search=functools.partial(greedy, max_len=MAX_LEN, allow_unk=False),
        src_tokenizer=EnglishTokenizer(lowercase=True),
        tgt_tokenizer=PythonTokenizer(),
        src_vocab=src_vocab,
        tgt_vocab=tgt_vocab,
        freeze_epochs=0,
        frozen=(),
        metadata={
            "run": "a_run",
            "config": {
                "sandbox": SANDBOX,
                "decoding": {"allow_unk": False},
                "model": {
                    "max_tgt_len": MAX_LEN,
                    "n_heads": 2,
                    "n_encoder_layers": 2,
                    "n_decoder_layers": 2,
                },
            },
        },
    ).eval()


@pytest.mark.parametrize("beam_size", [1, 3])
def test_beam_search_returns_a_program_per_beam(module, beam_size):
    programs = generate(module, "add two numbers", beam_size).programs
    assert len(programs) == beam_size and all(program.score < 0 for program in programs)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_programs_have_the_limits_of_the_search_of_the_checkpoint(module, beam_size):
    assert any(program.error for program in generate(module, "add two numbers", beam_size).programs)
    module.metadata["config"]["decoding"]["grammar"] = True
    programs = generate(module, "add two numbers", beam_size).programs
    assert not any(program.error for program in programs)


def test_alternatives_are_in_the_order_of_their_probability(module):
    programs = generate(module, "add two numbers", 8).programs
    order = sorted(programs, key=lambda program: (program.finished, program.score), reverse=True)
    assert programs == order


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.624, "62 %"), (0.0042, "0.4 %"), (1e-9, "below 0.1 %"), (0.9999, "over 99 %")],
)
def test_a_probability_can_be_read(probability, text):
    program = Program(ADD, ADD, math.log(probability), error=None, finished=True)
    assert percentage(probability) == text
    assert summary_line(0, program) == f"1. {text}, compiles"


def test_verdict_of_an_unfinished_program_is_cut_off(module):
    [program] = generate(module, "add two numbers", 1).programs
    assert program.finished or program.verdict.startswith("cut off")


def test_unknown_words_are_named_once(module):
    answer = generate(module, "add wombat <numbers> wombat", 1)
    assert answer.unknown.count("wombat") == 1
    text = verdict_html(answer.programs[0], answer.unknown)
    assert text.count("wombat") == 1 and "<numbers>" not in text


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (ADD, "Arguments of add(a, b)"),
        ("class Account:\n    pass", "An expression with Account"),
        ("print(input())", "Lines for input()"),
    ],
)
def test_the_field_says_what_to_type(code, label):
    assert call_of(code).label == label


@pytest.mark.parametrize(
    ("code", "typed", "result"),
    [
        (ADD, "'a', 'b'", "returned 'ab'"),
        (ADD, "1, 'b'", "ended with TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        (ADD, "a=1, b=2", "returned 3"),
        ("def f(x):\n    print(x)", "5", "5\nreturned None"),
        ("class A:\n    def f(self):\n        return 7", "A().f()", "returned 7"),
        ("print(int(input()) + 1)", "4", "5\nended without an error"),
        ("import nothing\ndef f(): pass", "", "ended with ModuleNotFoundError: No module named"),
        ("def f(n):\n    while n: pass", "1", "stopped: timeout (limit: 1 CPU seconds)"),
    ],
)
def test_a_program_runs_on_typed_arguments(code, typed, result):
    assert run_program(code, typed, SANDBOX).startswith(result)


def test_an_exception_without_a_message_is_named_alone():
    assert run_program("def f():\n    raise ValueError", "", SANDBOX) == "ended with ValueError"


def test_the_limit_of_time_is_named_where_it_was_reached():
    code = "import os\ndef f(n): os._exit(n)"
    assert run_program(code, "0", SANDBOX) == "stopped: left the process"


@pytest.mark.parametrize(
    ("code", "typed", "reason"),
    [
        (ADD, "1), print(2", "cannot be read as Python values"),
        (ADD, "1 2", "cannot be read as Python values"),
        (ADD, "x" * 5 + "\0", "cannot be read as Python values"),
        ("def f(:", "1", "the chosen program does not compile"),
    ],
)
def test_typed_text_that_is_no_call_is_refused(code, typed, reason):
    with pytest.raises(UserError, match=reason):
        run_program(code, typed, SANDBOX)


def test_examples_are_descriptions_of_the_test_split(module, tmp_path):
    checkpoint = tmp_path / "a_run" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    lines = [json.dumps({"description": f"task {i}"}) for i in range(40)]
    (tmp_path / "a_run" / "predictions.jsonl").write_text("\n".join(lines))
    assert example_descriptions(checkpoint, module) == ["task 0", "task 10", "task 20", "task 30"]
    checkpoint.touch()
    assert example_descriptions(tmp_path / "a_run", module)[1] == "task 10"


def test_data_that_have_moved_give_no_examples(module, tmp_path, monkeypatch):
    def moved(*_):
        raise UserError("the data have moved")

    monkeypatch.setattr("en2py.training.checkpoints.locate_data", moved)
    assert example_descriptions(tmp_path / "copied.ckpt", module) == []


@pytest.mark.parametrize(
    ("description", "reason"),
    [("", "empty"), ("wombat", "knows no word"), ("add " * 30, "at most 19")],
)
def test_unreadable_description_is_refused(module, description, reason):
    with pytest.raises(UserError, match=reason):
        generate(module, description, 1)


@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_rows_sum_to_one_for_every_head(module, kind):
    for head in (0, 1, 2):
        table = attention_table(module, "add two numbers", "def add(a, b): pass", kind, 2, head)
        for row in table.split("<tr>")[2:]:
            weights = [float(cell.split('"')[0]) for cell in row.split("--w:")[1:]]
            assert sum(weights) == pytest.approx(1, abs=0.02)


def test_tokens_are_escaped_in_the_attention_table(module):
    table = attention_table(module, "add <script>alert(1)</script>", "x = '<img>'", "cross", 1, 0)
    assert "<script" not in table and "<img" not in table


@pytest.mark.parametrize("port", ["99999", "0", "-1", "abc"])
def test_a_port_out_of_range_is_refused(port, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo.py", "a.ckpt", f"--port={port}"])
    with pytest.raises(SystemExit):
        demo.main()
    assert f"{port} is no port; use a number from 1024" in capsys.readouterr().err


def test_missing_gradio_is_reported_in_one_sentence():
    program = "import sys; sys.modules['gradio'] = None; import demo; sys.exit(demo.main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "a.ckpt"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "pip install -e '.[demo]'" in done.stderr


def test_ctrl_c_while_the_models_are_loaded_exits_without_a_traceback(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["demo.py", "a.ckpt"])
    monkeypatch.setitem(sys.modules, "gradio", ModuleType("gradio"))
    monkeypatch.setattr(demo, "load_models", interrupt)
    assert demo.main() == 130


@pytest.mark.slow
def test_page_works_with_the_keyboard_alone_on_a_phone(module, monkeypatch, capsys):
    """In a real browser, with two models, and with no request to another machine."""
    gr = pytest.importorskip("gradio")
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    programs = [
        Program(ADD, ADD, -0.1, error=None, finished=True),
        Program("def (", "def (", -9.0, error="SyntaxError: invalid syntax, line 1", finished=True),
    ]

    def two_programs(module, text, size):
        return Answer(text, programs, generate(module, text, 1).unknown)

    launched = {}
    monkeypatch.setattr(gr.Blocks, "block_thread", lambda self: launched.update(page=self))
    monkeypatch.setattr(demo, "generate", two_programs)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    models = {"first": module, "<script>second": copy.deepcopy(module)}
    demo.serve(models, port, ["add two numbers"])
    url = f"http://127.0.0.1:{port}/"
    assert capsys.readouterr().out == f"open {url} in a browser; Ctrl-C ends the page\n"
    with sync_api.sync_playwright() as tool:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = tool.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.set_default_timeout(60_000)  # milliseconds
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"http://127.0.0.1:{port}")
        tab.wait_for_selector("#prompt textarea")

        def wait_for(element, text):
            tab.wait_for_function(
                f"document.querySelector('{element}')?.innerText.includes('{text}')"
            )

        def reach(element):
            for _ in range(80):
                if tab.evaluate(f"document.activeElement.matches('{element}')"):
                    return
                tab.keyboard.press("Tab")
            raise AssertionError(f"the Tab key does not reach {element}")

        def type_into(element, text):
            reach(f"{element} textarea")
            tab.keyboard.press("Control+A")
            tab.keyboard.press("Delete")
            tab.keyboard.type(text)
            tab.keyboard.press("Enter")

        def answers(text):
            type_into("#prompt", text)
            for number in (0, 1):
                wait_for(f"#verdict{number}", "✓ compiles")

        assert tab.evaluate("document.querySelector('#prompt').clientWidth") > 300
        for text, reason in (
            ("", "is empty"),
            ("wombat", "knows no word"),
            ("add " * 30, "at most 19"),
        ):
            type_into("#prompt", text)
            wait_for("#verdict0", reason)
            wait_for("#verdict1", reason)
            assert tab.locator(".toast-body").count() == 0
            answers("add two wombat numbers")  # the page still works
        wait_for("#verdict0", "Unknown words: wombat")
        wait_for("#alternatives1", "1. 90 %, compiles")
        type_into("#arguments0", "[1], [2, 3]")
        wait_for("#ran0", "returned [1, 2, 3]")
        type_into("#arguments0", "1), (2")
        wait_for("#ran0", "cannot be read as Python values")
        reach("#alternatives0 label:nth-child(2) input")
        tab.keyboard.press("Space")
        wait_for("#verdict0", "✗ does not compile")
        wait_for("#verdict0", "Unknown words")
        reach("#alternatives0 label:nth-child(1) input")
        tab.keyboard.press("Space")
        wait_for("#verdict0", "✓ compiles")
        reach("#attention0 button")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#map0 table.attention td")
        shown, whole = tab.evaluate(
            "(e => [e.clientWidth, e.scrollWidth])(document.querySelector('#map0'))"
        )
        assert whole <= shown
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.locator(".toast-body").count() == 0
        assert not [url for url in asked if not url.startswith(f"http://127.0.0.1:{port}")]
        browser.close()
    launched["page"].close()
