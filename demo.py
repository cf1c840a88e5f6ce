"""Try trained models in the browser: `python demo.py best.ckpt [other.ckpt] [--port 7860]`."""

import argparse
import functools
import html
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from en2py.cli.main import refuse
from en2py.console import configure_logging
from en2py.errors import UserError

BEAM_SIZES = [1, 2, 4, 8]
LENGTH_PENALTY = 0.6  # Wu et al. (2016), equation 14
ATTENTION = {"cross": "code to words", "encoder": "words to words", "decoder": "code to code"}
EXAMPLES = [
    "write a function that returns the sum of the even numbers in a list",
    "write a function which takes a string and returns it reversed",
    "write a python program to check whether a number is prime",
]
MAX_CHARACTERS = 80  # of an unknown word on the page
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


def main() -> int:
    """Load the checkpoints and serve the page on this machine until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="shown side by side")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    options = parser.parse_args()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the page sends no request to another machine
    configure_logging()
    try:
        try:
            import gradio  # noqa: F401  # an extra; torch and Gradio take seconds to import
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise UserError(
                "the demo page needs Gradio, which is not installed: pip install -e '.[demo]'"
            ) from None
        models = load_models(options.checkpoints)
        try:
            serve(models, options.port)
        except OSError as error:
            if options.port is None:
                raise
            raise UserError(f"port {options.port} is not free ({error}): take another") from None
    except UserError as error:
        return refuse(str(error))
    return 0


# ---------------------------------------------------------------------------------- the models


@dataclass(frozen=True)
class Program:
    """A generated program.

    Attributes:
        code: Formatted by autopep8 where it parses, else as generated.
        generated: As generated, for the attention maps.
        score: Log-probability of the program.
        per_token: Geometric mean of the probabilities of its tokens.
        error: The syntax error; None where it compiles.
        finished: Whether it ended within the maximum length.
    """

    code: str
    generated: str
    score: float
    per_token: float
    error: str | None
    finished: bool

    @property
    def verdict(self) -> str:
        """Return in a few words whether the program compiles."""
        if not self.finished:
            return "cut off at the longest length the model can write"
        return "compiles" if self.error is None else f"does not compile: {self.error}"


def load_models(paths: Sequence[str]) -> dict[str, Any]:
    """Return the modules of checkpoints by the names of their runs.

    Checkpoints of the same run are distinguished by their file names, else numbered.

    Raises:
        UserError: If a file is missing or damaged.
    """
    import en2py

    modules = [en2py.load(path) for path in paths]
    names = [str(module.metadata["run"]) for module in modules]
    if len(set(names)) < len(names):
        names = [f"{name} ({Path(path).name})" for name, path in zip(names, paths, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number}. {name}" for number, name in enumerate(names, 1)]
    return dict(zip(names, modules, strict=True))


def generate(module: Any, description: str, beam_size: int) -> tuple[list[Program], list[str]]:
    """Generate programs for a description.

    Args:
        module: The model.
        description: The task in English.
        beam_size: The number of programs; 1 is greedy search.

    Returns:
        The programs, best first, and the words that are not in the vocabulary.

    Raises:
        UserError: If the description is empty, too long, or has no known word.
    """
    from en2py.decoding.beam_search import beam
    from en2py.decoding.greedy import greedy
    from en2py.evaluation.metrics import program_metrics

    unknown = module.unknown_words(description, "the description")
    max_len = module.metadata["config"]["model"]["max_tgt_len"]
    search: Any = functools.partial(greedy, max_len=max_len, allow_unk=False)
    if beam_size > 1:
        search = functools.partial(
            beam,
            max_len=max_len,
            allow_unk=False,
            beam_size=beam_size,
            length_penalty=LENGTH_PENALTY,
        )
    programs = []
    for hypothesis in module.candidates([description], search)[0]:
        text = module.text(hypothesis)
        n_tokens = len(hypothesis.ids) + hypothesis.finished
        programs.append(
            Program(
                code=format_code(text),
                generated=text,
                score=hypothesis.score,
                per_token=math.exp(hypothesis.score / max(1, n_tokens)),
                error=program_metrics.Program(text).error,
                finished=hypothesis.finished,
            )
        )
    return programs, unknown


def format_code(code: str) -> str:
    """Format a program; one that does not parse, or that is too long, is returned unchanged."""
    from en2py.data.cleaning.layout import autopep8
    from en2py.data.cleaning.pipeline import Drop
    from en2py.data.pairs import Pair
    from en2py.data.syntax import parse

    try:
        return autopep8(Pair("", "", code, ""), ignore="E731").code if parse(code) else code
    except Drop:
        return code


def attention_table(
    module: Any, description: str, code: str, kind: str, layer: int, head: int
) -> str:
    """Return an attention map as an HTML table; texts are escaped.

    Args:
        module: The model.
        description: Its input.
        code: Its output.
        kind: A key of `ATTENTION`.
        layer: From 1.
        head: From 1; 0 is the mean of the heads.
    """
    labels, maps = module.attention(description, code)
    rows, columns = labels[kind]
    heads = maps[kind][layer - 1]  # [H, T, S]
    weights = heads.mean(0) if head == 0 else heads[head - 1]  # [T, S]
    top = "".join(f'<th scope="col">{html.escape(label)}</th>' for label in columns)
    lines = [f'<table class="attention"><tr><th></th>{top}</tr>']
    for label, row in zip(rows, weights.tolist(), strict=True):
        cells = "".join(
            f'<td style="--w:{weight:.3f}" title="{weight:.0%}"></td>' for weight in row
        )
        lines.append(f'<tr><th scope="row">{html.escape(label)}</th>{cells}</tr>')
    return "\n".join([*lines, "</table>"])


# ------------------------------------------------------------------------------------ the page


def serve(models: dict[str, Any], port: int | None) -> None:
    """Serve the page on this machine alone until it is stopped."""
    import gradio as gr

    fonts = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]  # others are downloaded
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


def build_page(models: dict[str, Any]) -> Any:
    """Return the page: a description, and a column of generated programs for each model."""
    import gradio as gr

    with gr.Blocks(title="en2py", analytics_enabled=False) as page:
        gr.Markdown("# English to Python\nGenerated programs are shown and parsed, never executed.")
        with gr.Row(equal_height=True):
            prompt = gr.Textbox(
                label="Describe a program",
                placeholder=EXAMPLES[0],
                elem_id="prompt",
                autofocus=True,
                scale=5,
            )
            beam_size = gr.Dropdown(
                [("greedy" if size == 1 else f"beam {size}", size) for size in BEAM_SIZES],
                value=4,
                label="Search",
                elem_id="beam-size",
                scale=2,
            )
            button = gr.Button("Generate", variant="primary", elem_id="generate", scale=1)
        gr.Examples([[text] for text in EXAMPLES], [prompt], label="For example")
        with gr.Row():
            for number, (name, module) in enumerate(models.items()):
                with gr.Column(min_width=280):
                    add_model(number, name, module, prompt, beam_size, button)
    return page


def add_model(
    number: int, name: str, module: Any, prompt: Any, beam_size: Any, button: Any
) -> None:
    """Add the column of one model and connect its controls."""
    import gradio as gr

    shape = module.metadata["config"]["model"]
    gr.Markdown(f"### {escape_markdown(name)}")
    code = gr.Code(label="Python", language="python", elem_id=f"code{number}", interactive=False)
    verdict = gr.HTML(elem_classes="verdict", elem_id=f"verdict{number}")
    choice = gr.Radio([], label="Alternatives", elem_id=f"alternatives{number}", visible=False)
    programs = gr.State([])
    description = gr.State("")
    with gr.Accordion("Attention", open=False, elem_id=f"attention{number}"):
        with gr.Row():
            kinds = [(text, key) for key, text in ATTENTION.items()]
            kind = gr.Dropdown(kinds, label="Attention", min_width=130)
            n_layers = min(shape["n_encoder_layers"], shape["n_decoder_layers"])
            layers = list(range(1, n_layers + 1))
            layer = gr.Dropdown(layers, value=n_layers, label="Layer", min_width=80)
            heads = [("mean", 0), *((str(h), h) for h in range(1, shape["n_heads"] + 1))]
            head = gr.Dropdown(heads, value=0, label="Head", min_width=80)
        table = gr.HTML(elem_classes="attention-box", elem_id=f"map{number}")

    def on_generate(text: str, size: int) -> tuple[Any, ...]:
        try:
            found, unknown = generate(module, text, size)
        except UserError as error:
            hidden = gr.Radio(choices=[], visible=False)
            return "", html.escape(str(error)), hidden, [], text, ""
        lines = [(summary_line(rank, program), rank) for rank, program in enumerate(found)]
        radio = gr.Radio(choices=lines, value=0, visible=len(lines) > 1)
        return found[0].code, verdict_html(found[0], unknown), radio, found, text, ""

    def on_choice(rank: int | None, found: list[Program]) -> tuple[str, str]:
        chosen = found[rank or 0]
        return chosen.code, verdict_html(chosen, [])

    def on_attention(
        found: list[Program], rank: int | None, text: str, kind: str, layer: int, head: int
    ) -> str:
        if not found or not found[rank or 0].generated:
            return "Generate a program first."
        return attention_table(module, text, found[rank or 0].generated, kind, layer, head)

    show_attention = {
        "fn": on_attention,
        "inputs": [programs, choice, description, kind, layer, head],
        "outputs": table,
        "show_progress": "hidden",
    }
    outputs = [code, verdict, choice, programs, description, table]
    for event in (button.click, prompt.submit):
        event(on_generate, [prompt, beam_size], outputs).then(**show_attention)
    chosen = choice.input(on_choice, [choice, programs], [code, verdict], show_progress="hidden")
    chosen.then(**show_attention)
    for control in (kind, layer, head):
        control.input(**show_attention)


def summary_line(rank: int, program: Program) -> str:
    """Return the rank, the scores and the verdict of an alternative."""
    verdict = "compiles" if program.error is None and program.finished else "not a program"
    return f"{rank + 1}. log p {program.score:.2f} ({program.per_token:.0%} per token), {verdict}"


def verdict_html(program: Program, unknown: Sequence[str]) -> str:
    """Return the verdict and the unknown words as HTML; texts are escaped."""
    good = program.error is None and program.finished
    text = f"<b>{'✓' if good else '✗'}</b> {html.escape(program.verdict)}"
    if unknown:
        words = ", ".join(html.escape(word[:MAX_CHARACTERS]) for word in unknown)
        text += f"<br>Unknown words: {words}"
    return text


def escape_markdown(text: str) -> str:
    """Escape the characters that Markdown interprets."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|~" else c for c in text)


if __name__ == "__main__":
    sys.exit(main())
