"""Try trained models in the browser: `python demo.py best.ckpt [other.ckpt]`."""

import argparse
import ast
import functools
import html
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

try:
    from en2py.cli.main import refuse
    from en2py.cli.programs import in_own_words
    from en2py.console import configure_logging
    from en2py.errors import UserError
except ModuleNotFoundError as error:
    if error.name != "en2py":
        raise
    print(f"{error}; first: make train, source .venv/bin/activate", file=sys.stderr)
    sys.exit(2)

log = logging.getLogger("en2py.demo")

BEAM_SIZES = [1, 2, 4, 8]
ATTENTION = {"cross": "code to words", "encoder": "words to words", "decoder": "code to code"}
N_EXAMPLES = 4
MAX_CHARACTERS = 80  # of an unknown word on the page
_ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "models"}  # of events of all users
_FIRST = "Generate a program first."
CSS = """
.gradio-container { max-width: 1200px !important; margin: 0 auto !important; }
.message { overflow-wrap: anywhere; }
.message pre { font-family: inherit; white-space: pre-wrap; }
.message b { font-weight: 600; }
.attention-box { overflow-x: auto; max-width: 100%; container-type: inline-size; }
.contain { max-width: calc(100vw - 64px) !important; }
table.attention { border: 0 !important; border-collapse: collapse; width: auto;
  font: 12px/1.2 ui-monospace, monospace;
  --cell: max(9px, min(20px, (100cqw - var(--label) - 18px) / var(--columns) - 1px)); }
table.attention th { padding: 1px 5px; font-weight: 400; text-align: right; white-space: pre;
  border: 0 !important; }
table.attention tr { border: 0 !important; }
table.attention th[scope=col] { writing-mode: vertical-rl; transform: rotate(180deg);
  text-align: left; padding: 5px 0; font-size: min(12px, var(--cell)); line-height: var(--cell); }
table.attention th[scope=row] { position: sticky; left: 0;
  background: var(--block-background-fill); }
table.attention td { width: var(--cell); min-width: var(--cell); height: 18px; padding: 0;
  border: 1px solid color-mix(in srgb, currentColor 12%, transparent);
  background: color-mix(in srgb, #2a78c8 calc(var(--w) / var(--top) * 100%), transparent); }
.alternatives:not(:has(input)) { display: none; }
@media (max-width: 640px) { #prompt { flex-basis: 100% !important; } }
"""


def main() -> int:
    """Load the checkpoints and serve the page on this machine until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="shown side by side")
    parser.add_argument(
        "--allow",
        metavar="PACKAGE",
        action="append",
        default=[],
        help="an own package that the config of a checkpoint may name; may be repeated",
    )
    parser.add_argument("--port", type=_port, help="default: the first free one from 7860")
    parser.add_argument("--version", action="version", version=f"en2py {version('en2py')}")
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
        models = load_models(options.checkpoints, options.allow)
        examples = example_descriptions(Path(options.checkpoints[0]), next(iter(models.values())))
        try:
            serve(models, options.port, examples)
        except OSError as error:
            if options.port is None:
                raise
            raise UserError(f"port {options.port} is not free ({error}): take another") from None
    except UserError as error:
        return refuse(in_own_words(str(error)))
    except KeyboardInterrupt:  # while the models are loaded; Gradio handles a later one
        return 130
    return 0


# ---------------------------------------------------------------------------------- the models


@dataclass(frozen=True)
class Program:
    """A generated program.

    Attributes:
        code: Formatted by autopep8 where it parses, else as generated.
        generated: As generated, for the attention maps.
        score: Log-probability of the program.
        error: The syntax error; None where it compiles.
        finished: Whether it ended within the maximum length.
    """

    code: str
    generated: str
    score: float
    error: str | None
    finished: bool

    @property
    def verdict(self) -> str:
        """Return in a few words whether the program compiles."""
        if not self.finished:
            return "cut off at the longest length the model can write"
        return "compiles" if self.error is None else f"does not compile: {self.error}"


@dataclass(frozen=True)
class Answer:
    """The programs for a description, best first, and the words that the model does not know."""

    description: str = ""
    programs: list[Program] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def load_models(paths: Sequence[str], allowed_packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the modules of checkpoints by the names of their runs.

    Checkpoints of the same run are distinguished by their file names, else numbered.

    Raises:
        UserError: If a file is missing or damaged.
    """
    import en2py

    modules = [en2py.load(path, allowed_packages) for path in paths]
    names = [str(module.metadata["run"]) for module in modules]
    if len(set(names)) < len(names):
        names = [f"{name} ({Path(path).name})" for name, path in zip(names, paths, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number}. {name}" for number, name in enumerate(names, 1)]
    return dict(zip(names, modules, strict=True))


def example_descriptions(path: Path, module: Any) -> list[str]:
    """Return a few descriptions of the test split of a checkpoint.

    They are read from the predictions of its run; where the checkpoint was copied elsewhere, the
    data are prepared again. None are returned if the data have moved.
    """
    from en2py.data.pairs import evenly_spaced
    from en2py.training import run_data
    from en2py.training.checkpoints import best_of, locate_data

    metadata, folder = module.metadata, best_of(path).resolve().parents[1]
    stored = folder / "predictions.jsonl"
    try:
        if folder.name == metadata["run"] and stored.is_file():
            lines = stored.read_text(encoding="utf-8").splitlines()
            found = [json.loads(line)["description"] for line in lines]
        else:
            config = dict(metadata["config"])
            config["data"] = locate_data(config, metadata.get("files", {}), path)
            found = [pair.description for pair in run_data.prepare_data(config).pairs("test")]
    except UserError as error:
        log.info(f"the page has no examples: {error}")
        return []
    return [found[i] for i in evenly_spaced(len(found), N_EXAMPLES)]


def generate(module: Any, description: str, beam_size: int) -> Answer:
    """Generate programs for a description, within the limits of the checkpoint's own search.

    Args:
        module: The model.
        description: The task in English.
        beam_size: The number of programs; 1 is greedy search.

    Raises:
        UserError: If the description is empty, too long, or has no known word.
    """
    from en2py.decoding.beam_search import beam
    from en2py.decoding.constraints import Limits
    from en2py.decoding.greedy import greedy
    from en2py.evaluation.metrics import program_metrics

    unknown = module.unknown_words(description, "the description")
    config = module.metadata["config"]
    own = {key: value for key, value in config["decoding"].items() if key in Limits.__annotations__}
    limits = {"max_len": config["model"]["max_tgt_len"], **own, "tokenizer": module.tgt_tokenizer}
    search: Any = functools.partial(greedy, **limits)
    if beam_size > 1:
        # Without a penalty alternatives are in the order of their probability.
        search = functools.partial(beam, beam_size=beam_size, length_penalty=0.0, **limits)
    programs = []
    for hypothesis in module.candidates([description], search)[0]:
        text = module.text(hypothesis)
        programs.append(
            Program(
                code=format_code(text),
                generated=text,
                score=hypothesis.score,
                error=program_metrics.Program(text).error,
                finished=hypothesis.finished,
            )
        )
    return Answer(description, programs, unknown)


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
    sizes = {"columns": len(columns), "label": f"{max(map(len, rows))}ch", "top": weights.max()}
    style = f'style="{"; ".join(f"--{name}: {value}" for name, value in sizes.items())}"'
    lines = [f'<table class="attention" {style}><tr><th></th>{top}</tr>']
    for label, row in zip(rows, weights.tolist(), strict=True):
        cells = "".join(
            f'<td style="--w:{weight:.3f}" title="{weight:.0%}"></td>' for weight in row
        )
        lines.append(f'<tr><th scope="row">{html.escape(label)}</th>{cells}</tr>')
    return "\n".join([*lines, "</table>"])


# ------------------------------------------------------------------------- running a program


@dataclass(frozen=True)
class Call:
    """How a program is called with what the user types.

    Attributes:
        label: Of the field, in which the user types.
        before: What is written before the typed text, to form an expression.
        after: What is written behind it.
        is_input: Whether the text is the standard input of a script instead.
    """

    label: str
    before: str = ""
    after: str = ""
    is_input: bool = False


def call_of(code: str) -> Call | None:
    """Return how a program is called; None if it does not parse."""
    from en2py.data.syntax import parse
    from en2py.evaluation.execution.entry_point import entry_function

    tree = parse(code)
    if tree is None:
        return None
    if function := entry_function(tree):
        names = ", ".join(parameter.arg for parameter in function.parameters)
        return Call(f"Arguments of {function.name}({names})", f"{function.name}(", ")")
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if classes:
        return Call(f"An expression with {classes[-1]}")
    return Call("Lines for input()", is_input=True)


def run_program(code: str, typed: str, sandbox: Mapping[str, Any]) -> str:
    """Run a program in the sandbox on what the user typed, and return what happened.

    Args:
        code: The program.
        typed: Arguments of its entry function, an expression, or the input of a script.
        sandbox: Settings of the sandbox.

    Raises:
        UserError: If the program does not compile, the typed text is no expression, or this
            machine has no sandbox of the wanted level.
    """
    from en2py.sandbox import Job, Sandbox
    from en2py.sandbox.serialization import as_text

    call = call_of(code)
    if call is None:
        raise UserError("the chosen program does not compile: nothing was run")
    job = Job(code, stdin=typed)
    if not call.is_input:
        expression = f"{call.before}{typed}{call.after}"
        if not _is_expression(expression, is_call=bool(call.before)):
            raise UserError(
                f"{typed[:MAX_CHARACTERS]!r} cannot be read as Python values: separate them by "
                "commas, for example [3, 1, 2], 'text'"
            )
        job = Job(code, (expression,))
    with Sandbox(**{**sandbox, "workers": 1}) as opened:
        (outcome,) = opened.run([job])
    result = outcome.calls[0] if outcome.load.finished and outcome.calls else outcome.load
    lines = [outcome.load.printed, result.printed if result is not outcome.load else ""]
    if result.killed:
        limit = f" (limit: {sandbox['timeout_s']:g} CPU seconds)"
        lines.append(f"stopped: {result.killed}{limit if result.killed == 'timeout' else ''}")
    elif result.exception:
        lines.append(": ".join(filter(None, [f"ended with {result.exception}", result.message])))
    elif result is outcome.load:
        lines.append("ended without an error")
    else:
        lines.append(f"returned {as_text(result.value)}")
    return "\n".join(line.rstrip("\n") for line in lines if line)


def _is_expression(text: str, *, is_call: bool) -> bool:
    """Return whether a text is one expression, or one call, so that `1), other(2` is refused."""
    try:
        body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return not is_call or (isinstance(body, ast.Call) and isinstance(body.func, ast.Name))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; use a number from 1024 to 65535")
    return int(text)


# ------------------------------------------------------------------------------------ the page


def serve(models: dict[str, Any], port: int | None, examples: Sequence[str] = ()) -> None:
    """Serve the page on this machine alone until it is stopped."""
    import gradio as gr

    fonts = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]  # others are downloaded
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    page = build_page(models, examples)
    _, url, _ = page.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        quiet=True,  # it advises to share the page
        prevent_thread_lock=True,
        ssr_mode=False,
        footer_links=[],
        theme=gr.themes.Soft(font=fonts, font_mono=mono),
        css=CSS,
    )
    print(f"open {url} in a browser; Ctrl-C ends the page", flush=True)
    page.block_thread()


def build_page(models: dict[str, Any], examples: Sequence[str]) -> Any:
    """Return the page: a description, and a column of generated programs for each model."""
    import gradio as gr

    with gr.Blocks(title="en2py", analytics_enabled=False) as page:
        gr.Markdown("# English to Python\nA program runs only if you ask, in the sandbox.")
        with gr.Row(equal_height=True):
            prompt = gr.Textbox(
                label="Describe a program",
                placeholder=examples[0] if examples else "write a function that ...",
                elem_id="prompt",
                autofocus=True,
                max_lines=5,
                scale=5,
            )
            beam_size = gr.Dropdown(
                [("greedy" if size == 1 else f"beam {size}", size) for size in BEAM_SIZES],
                value=4,
                label="Search",
                elem_id="beam-size",
                scale=2,
                min_width=120,
            )
            button = gr.Button(
                "Generate", variant="primary", elem_id="generate", scale=1, min_width=120
            )
        if examples:
            gr.Examples(
                [[text] for text in examples], [prompt], label="From the test data of the model"
            )
        columns = []
        with gr.Row():
            for number, (name, module) in enumerate(models.items()):
                with gr.Column(min_width=280):
                    columns.append(add_model(number, name, module))

        def on_generate(text: str, size: int) -> dict[Any, Any]:
            # One event for all: Gradio would run an event per model one after another.
            with ThreadPoolExecutor(len(columns)) as pool:
                answers = pool.map(lambda column: column.answer(text, size), columns)
                return {output: value for own in answers for output, value in own.items()}

        for event in (button.click, prompt.submit):
            generated = event(
                on_generate,
                [prompt, beam_size],
                [output for column in columns for output in column.outputs],
                show_progress_on=[column.code for column in columns],
                **_ONE_AT_A_TIME,
            )
            for column in columns:
                generated.then(**column.show_attention)
    return page


@dataclass(frozen=True)
class ModelColumn:
    """The column of one model on the page.

    Attributes:
        code: Shows the program.
        outputs: All components that an answer changes.
        answer: Maps a description and a beam size to the values of `outputs`.
        show_attention: The event that draws the attention map of the chosen program.
    """

    code: Any
    outputs: list[Any]
    answer: Callable[[str, int], dict[Any, Any]]
    show_attention: dict[str, Any]


def add_model(number: int, name: str, module: Any) -> ModelColumn:
    """Add the column of one model and connect its own controls."""
    import gradio as gr

    config = module.metadata["config"]
    shape = config["model"]
    gr.Markdown(f"### {escape_markdown(name)}")
    code = gr.Code(
        label="Python",
        language="python",
        elem_id=f"code{number}",
        interactive=False,
        wrap_lines=True,
        lines=4,
        max_lines=30,
    )
    verdict = gr.HTML(elem_classes="message", elem_id=f"verdict{number}")
    choice = gr.Radio(
        [],
        label="Programs, by the probability that the model gives them",
        elem_id=f"alternatives{number}",
        elem_classes="alternatives",
    )
    answer, rank = gr.State(Answer()), gr.State(0)
    with gr.Row(equal_height=True):
        typed = gr.Textbox(label="Arguments", elem_id=f"arguments{number}", scale=4, min_width=180)
        run = gr.Button("Run", elem_id=f"run{number}", scale=1, min_width=80)
    ran = gr.HTML(elem_classes="message", elem_id=f"ran{number}")
    with gr.Accordion("Attention", open=False, elem_id=f"attention{number}"):
        with gr.Row():
            kinds = [(text, key) for key, text in ATTENTION.items()]
            kind = gr.Dropdown(kinds, label="Attention", min_width=180)
            n_layers = min(shape["n_encoder_layers"], shape["n_decoder_layers"])
            layers = list(range(1, n_layers + 1))
            layer = gr.Dropdown(layers, value=n_layers, label="Layer", min_width=110)
            heads = [("mean", 0), *((str(h), h) for h in range(1, shape["n_heads"] + 1))]
            head = gr.Dropdown(heads, value=0, label="Head", min_width=110)
        table = gr.HTML(elem_classes="attention-box", elem_id=f"map{number}")

    def show(found: Answer, place: int) -> dict[Any, Any]:
        """Return what the column shows of an alternative."""
        program = found.programs[place]
        call = call_of(program.code)
        return {
            code: program.code,
            verdict: verdict_html(program, found.unknown),
            rank: place,
            typed: gr.Textbox(label=call.label if call else "Arguments", value=""),
            ran: "",
        }

    def answer_to(text: str, size: int) -> dict[Any, Any]:
        try:
            found = generate(module, text, size)
        except UserError as error:
            return {
                code: "",
                verdict: html.escape(str(error)),
                choice: gr.Radio(choices=[], value=None),
                answer: Answer(),
                rank: 0,
                typed: gr.Textbox(label="Arguments", value=""),
                ran: "",
            }
        lines = [(summary_line(place, own), place) for place, own in enumerate(found.programs)]
        return {answer: found, choice: gr.Radio(choices=lines, value=0), **show(found, 0)}

    def on_run(found: Answer, place: int, text: str) -> str:
        if not found.programs:
            return _FIRST
        try:
            result = run_program(found.programs[place].code, text, config["sandbox"])
        except UserError as error:
            result = str(error)
        return f"<pre>{html.escape(result)}</pre>"

    def on_attention(found: Answer, place: int, kind: str, layer: int, head: int) -> str:
        if not found.programs or not found.programs[place].generated:
            return _FIRST
        generated = found.programs[place].generated
        return attention_table(module, found.description, generated, kind, layer, head)

    shown = [code, verdict, rank, typed, ran]
    show_attention = {
        "fn": on_attention,
        "inputs": [answer, rank, kind, layer, head],
        "outputs": table,
        "show_progress": "hidden",
        **_ONE_AT_A_TIME,
    }
    chosen = choice.input(
        lambda place, found: show(found, place), [choice, answer], shown, show_progress="hidden"
    )
    chosen.then(**show_attention)
    for event in (run.click, typed.submit):
        event(on_run, [answer, rank, typed], ran)
    for control in (kind, layer, head):
        control.input(**show_attention)
    return ModelColumn(code, [answer, choice, *shown], answer_to, show_attention)


def summary_line(place: int, program: Program) -> str:
    """Return the rank, the probability and the verdict of an alternative."""
    is_program = program.error is None and program.finished
    verdict = "compiles" if is_program else "not a program"
    return f"{place + 1}. {percentage(math.exp(program.score))}, {verdict}"


def percentage(probability: float) -> str:
    """Return a probability as a person reads it: `62 %`, `0.4 %`, `below 0.1 %`."""
    if probability < 0.001:
        return "below 0.1 %"
    if probability > 0.995:
        return "over 99 %"
    return f"{100 * probability:.{0 if probability >= 0.1 else 1}f} %"


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
