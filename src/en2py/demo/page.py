"""The page itself, in Gradio: a description in, each model's answer beside the others'."""

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from en2py.demo.answers import KINDS, Candidate, Model, answer, attention_table
from en2py.errors import UserError

WIDTHS = [1, 2, 4, 8]
EXAMPLES = [
    "write a function that returns the sum of the even numbers in a list",
    "write a function which takes a string and returns it reversed",
    "write a python program to check whether a number is prime",
]
SHOWN = 80  # characters of an unknown word that are worth repeating
CSS = """
.gradio-container { max-width: 1200px !important; margin: 0 auto !important; }
.verdict { min-height: 1.6em; }
.verdict b { font-weight: 600; }
.attention-box { overflow: auto; max-width: 100%; max-height: 70vh; }
.contain { max-width: calc(100vw - 64px) !important; }
table.attention { border: 0 !important; border-collapse: collapse; width: auto;
  font: 12px/1.2 ui-monospace, monospace; }
table.attention th { padding: 1px 5px; font-weight: 400; text-align: right; white-space: pre;
  border: 0 !important; }
table.attention tr { border: 0 !important; }
table.attention th[scope=col] { writing-mode: vertical-rl; transform: rotate(180deg);
  text-align: left; }
table.attention td { width: 18px; min-width: 18px; height: 18px; padding: 0; border: 1px solid
  color-mix(in srgb, currentColor 12%, transparent);
  background: color-mix(in srgb, #2563eb calc(var(--w) * 100%), transparent); }
"""


def build_page(models: Sequence[Model]) -> gr.Blocks:
    """Return the page for one or more models."""
    with gr.Blocks(title="en2py", analytics_enabled=False) as page:
        gr.Markdown("# English to Python\nWhat the model writes is shown and parsed, never run.")
        with gr.Row(equal_height=True):
            prompt = gr.Textbox(
                label="Describe a program",
                placeholder=EXAMPLES[0],
                elem_id="prompt",
                autofocus=True,
                scale=5,
            )
            width = gr.Dropdown(
                [(_width_name(w), w) for w in WIDTHS],
                value=4,
                label="Search",
                elem_id="width",
                scale=2,
            )
            write = gr.Button("Write", variant="primary", elem_id="write", scale=1)
        gr.Examples([[text] for text in EXAMPLES], [prompt], label="For example")
        with gr.Row():
            for number, model in enumerate(models):
                with gr.Column(min_width=280):
                    _panel(number, model, prompt, width, write)
    return page


def _panel(
    number: int, model: Model, prompt: gr.Textbox, width: gr.Dropdown, write: gr.Button
) -> None:
    """Lay out one model's column and say what happens in it."""
    stored = model.module.metadata["config"]["model"]
    gr.Markdown(f"### {_plain(model.name)}")
    code = gr.Code(label="Python", language="python", elem_id=f"code{number}", interactive=False)
    verdict = gr.HTML(elem_classes="verdict", elem_id=f"verdict{number}")
    choice = gr.Radio([], label="Alternatives", elem_id=f"alternatives{number}", visible=False)
    found = gr.State([])  # the candidates of the last answer
    asked = gr.State("")
    with gr.Accordion("What it looked at", open=False, elem_id=f"attention{number}"):
        with gr.Row():
            kind = gr.Dropdown(
                [(text, key) for key, text in KINDS.items()], label="Attention", min_width=130
            )
            layers = min(stored["n_encoder_layers"], stored["n_decoder_layers"])
            layer = gr.Dropdown(
                list(range(1, layers + 1)), value=layers, label="Layer", min_width=80
            )
            heads = [("mean", 0), *((str(h), h) for h in range(1, stored["n_heads"] + 1))]
            head = gr.Dropdown(heads, value=0, label="Head", min_width=80)
        table = gr.HTML(elem_classes="attention-box", elem_id=f"map{number}")

    def on_write(text: str, beams: int) -> tuple[Any, ...]:
        try:
            told = answer(model.module, text, beams)
        except UserError as refusal:
            note = html.escape(str(refusal))
            return "", note, gr.Radio(choices=[], visible=False), [], text, ""
        names = [(_line(place, c), place) for place, c in enumerate(told.candidates)]
        radio = gr.Radio(choices=names, value=0, visible=len(names) > 1)
        best = told.candidates[0]
        return best.code, _verdict(best, told.unknown), radio, told.candidates, text, ""

    def on_choice(place: int | None, candidates: list[Candidate]) -> tuple[str, str]:
        chosen = candidates[place or 0]
        return chosen.code, _verdict(chosen, [])

    def on_attention(
        candidates: list[Candidate], place: int | None, text: str, kind: str, layer: int, head: int
    ) -> str:
        if not candidates or not candidates[place or 0].written:
            return "Write something first."
        written = candidates[place or 0].written
        return attention_table(model.module, text, written, kind, layer, head)

    looks = {
        "fn": on_attention,
        "inputs": [found, choice, asked, kind, layer, head],
        "outputs": table,
        "show_progress": "hidden",
    }
    answered = {
        "fn": on_write,
        "inputs": [prompt, width],
        "outputs": [code, verdict, choice, found, asked, table],
    }
    for event in (write.click, prompt.submit):
        event(**answered).then(**looks)
    picked = choice.input(on_choice, [choice, found], [code, verdict], show_progress="hidden")
    picked.then(**looks)
    for control in (kind, layer, head):
        control.input(**looks)


def _width_name(width: int) -> str:
    return "greedy" if width == 1 else f"beam {width}"


def _line(place: int, candidate: Candidate) -> str:
    """Return how an alternative stands in the list: its rank, scores and verdict."""
    verdict = "compiles" if candidate.error is None and candidate.finished else "not a program"
    return (
        f"{place + 1}. log p {candidate.score:.2f} ({candidate.per_token:.0%} per token), {verdict}"
    )


def _verdict(candidate: Candidate, unknown: list[str]) -> str:
    good = candidate.error is None and candidate.finished
    words = f"<b>{'✓' if good else '✗'}</b> {html.escape(candidate.verdict)}"
    if unknown:
        listed = ", ".join(html.escape(word[:SHOWN]) for word in unknown)
        words += f"<br>Words that it does not know: {listed}"
    return words


def _plain(text: str) -> str:
    """Keep a name from being read as Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|~" else c for c in text)


def serve(models: Sequence[Model], port: int | None) -> None:
    """Open the page on this machine alone and wait until it is stopped."""
    fonts = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]  # others are fetched
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    build_page(models).launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        quiet=False,
        ssr_mode=False,
        footer_links=[],
        theme=gr.themes.Soft(font=fonts, font_mono=mono),
        css=CSS,
    )
