import functools
import socket
import subprocess
import sys
import threading
from pathlib import Path

import demo
import pytest
import torch
from demo import ATTENTION, attention_table, generate

from en2py.data.tokenizers import EnglishTokenizer, PythonTokenizer
from en2py.decoding.greedy import greedy
from en2py.errors import UserError
from en2py.models.transformer import Transformer
from en2py.training.module import Seq2SeqModule

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = Path("/usr/bin/chromium")
MAX_LEN = 12


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
                "model": {
                    "max_tgt_len": MAX_LEN,
                    "n_heads": 2,
                    "n_encoder_layers": 2,
                    "n_decoder_layers": 2,
                }
            },
        },
    ).eval()


@pytest.mark.parametrize("beam_size", [1, 3])
def test_beam_search_returns_a_program_per_beam(module, beam_size):
    programs, _ = generate(module, "add two numbers", beam_size)
    assert len(programs) == beam_size
    assert all(program.score < 0 and 0 < program.per_token < 1 for program in programs)


def test_verdict_of_an_unfinished_program_is_cut_off(module):
    [program], _ = generate(module, "add two numbers", 1)
    assert program.finished or program.verdict.startswith("cut off")


def test_unknown_words_are_returned_once(module):
    assert generate(module, "add wombat numbers wombat", 1)[1] == ["wombat"]


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


def test_missing_gradio_is_reported_in_one_sentence():
    program = "import sys; sys.modules['gradio'] = None; import demo; sys.exit(demo.main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "a.ckpt"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "pip install -e '.[demo]'" in done.stderr


def test_page_generates_selects_and_shows_attention(module, monkeypatch):
    """In a real browser, with the keyboard, and with no request to another machine."""
    pytest.importorskip("gradio")
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    import gradio as gr

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = threading.Event()
    launch = gr.Blocks.launch

    def without_waiting(self, **settings):
        launch(self, **settings, prevent_thread_lock=True)
        launched.page = self
        launched.set()

    monkeypatch.setattr(gr.Blocks, "launch", without_waiting)
    demo.serve({"first": module, "<script>second": module}, port)
    assert launched.is_set()
    with sync_api.sync_playwright() as tool:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = tool.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.set_default_timeout(60_000)  # milliseconds
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"http://127.0.0.1:{port}")
        tab.wait_for_selector("#prompt textarea")
        tab.keyboard.type("add two <b>numbers</b>")  # the box has the focus
        tab.keyboard.press("Enter")
        for number in (0, 1):
            tab.wait_for_function(
                f"document.querySelector('#verdict{number}')?.innerText.includes('compile')"
                f" || document.querySelector('#verdict{number}')?.innerText.includes('cut off')"
            )
            tab.wait_for_function(
                f"document.querySelectorAll('#alternatives{number} input').length == 4"
            )
        before = tab.inner_text("#code0")
        tab.focus("#alternatives0 label:nth-child(2) input")
        tab.keyboard.press("Space")
        tab.wait_for_function(f"document.querySelector('#code0').innerText != {before!r}")
        tab.click("#attention0 button")
        tab.wait_for_selector("#map0 table.attention td")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        tab.fill("#prompt textarea", "")
        tab.press("#prompt textarea", "Enter")
        tab.wait_for_function("document.querySelector('#verdict0').innerText.includes('empty')")
        assert not [url for url in asked if not url.startswith(f"http://127.0.0.1:{port}")]
        browser.close()
    launched.page.close()
