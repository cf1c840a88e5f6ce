"""Samples side by side with their verdicts, and the attention maps behind them."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup

from en2py.evaluation.metrics.code_tokens import token_class
from en2py.evaluation.plots import token_label
from en2py.evaluation.report import html, markdown
from en2py.evaluation.report.markdown import escaped, fenced, visible
from en2py.evaluation.results import AttentionSample, Sample, SampleOutput

TONES = {
    "exact": "good",
    "passes": "good",
    "behaves": "good",
    "compiles": "fair",
    "wrong": "bad",
    "does not compile": "bad",
}
MARKS = {"good": "✓", "fair": "○", "bad": "✗"}
KEY = "✓ right, ○ compiles and could not be tested, ✗ wrong"
_KINDS = {
    "cross": "cross: code looks at the description",
    "encoder": "encoder: the description looks at itself",
    "decoder": "decoder: code looks at the code before it",
}


def samples_html(
    samples: Sequence[Sample], names: Sequence[str], attention: Sequence[AttentionSample]
) -> Markup:
    """Return samples that open on a click, with a filter by row and verdict.

    Args:
        samples: The pairs.
        names: Of all rows, in the order of the tables.
        attention: Whose maps the page has.
    """
    if not samples:
        return Markup("")
    samples = [_ordered(sample, names) for sample in samples]
    found = {output.verdict for sample in samples for output in sample.outputs.values()}
    order = [*(v for v in TONES if v in found), *sorted(found - TONES.keys())]
    return html.render(
        "samples.html",
        samples=samples,
        names=list(names),
        rows=[name for name in names if any(name in sample.outputs for sample in samples)],
        verdicts=order,
        tones={verdict: TONES.get(verdict, "fair") for verdict in order},
        marks=MARKS,
        maps=[(own.row, own.sample) for own in attention],
    )


def samples_markdown(samples: Sequence[Sample], names: Sequence[str], n_samples: int = 12) -> str:
    """Return the first samples, each folded."""
    shown = [_ordered(sample, names) for sample in samples[:n_samples]]
    return "\n\n".join(map(_sample_markdown, shown))


def attention_html(attention: Sequence[AttentionSample], samples: Sequence[Sample]) -> Markup:
    """Return the viewer of attention maps with its data.

    Weights travel as bytes, so that a map of 60 by 60 tokens in 8 heads and 3 layers takes 115 kB;
    one step is 1/255 of the largest weight.
    """
    if not attention:
        return Markup("")
    asked = {sample.id: sample.description for sample in samples}
    rows = list(dict.fromkeys(own.row for own in attention))
    maps = [
        {
            "row": visible(own.row),
            "row_number": rows.index(own.row),
            "sample": visible(own.sample),
            "asked": visible(" ".join(asked.get(own.sample, "").split()) or own.sample),
            "kinds": [_map(own, kind) for kind in _KINDS if kind in own.weights],
        }
        for own in attention
    ]
    return html.render("attention.html", maps=maps)


def _ordered(sample: Sample, names: Sequence[str]) -> Sample:
    """Return a sample with its outputs in the order of the tables."""
    own = sample.outputs
    return replace(sample, outputs={name: own[name] for name in names if name in own})


def _map(own: AttentionSample, kind: str) -> dict[str, Any]:
    weights = np.asarray(own.weights[kind], dtype=float)  # [L, H, T, S]
    rows, columns = own.labels[kind]
    if weights.ndim != 4 or weights.shape[2:] != (len(rows), len(columns)):
        raise ValueError(
            f"{kind} attention of {own.row} on {own.sample} has the shape {list(weights.shape)}, "
            f"which does not fit {len(rows)} rows and {len(columns)} columns"
        )
    top = float(weights.max(initial=0)) or 1.0
    steps = np.rint(np.clip(weights / top, 0, 1) * 255).astype(np.uint8)
    return {
        "name": kind,
        "title": _KINDS[kind],
        "rows": [visible(token_label(token)) for token in rows],
        "columns": [visible(token_label(token)) for token in columns],
        "faint_rows": [int(token_class(token) == "layout") for token in rows],
        "faint_columns": [int(token_class(token) == "layout") for token in columns],
        "layers": weights.shape[0],
        "heads": weights.shape[1],
        "top": round(top, 4),
        "bytes": base64.b64encode(steps.tobytes()).decode(),
    }


def _sample_markdown(sample: Sample) -> str:
    marks = "".join(_mark(output) for output in sample.outputs.values())
    parts = [f"Reference ({escaped(sample.id)}):\n\n{fenced(sample.reference)}"]
    same: dict[str, list[str]] = {}
    for name, output in sample.outputs.items():
        text = f"**{escaped(name)}**: {_mark(output)} {escaped(output.verdict)}"
        text += f" ({escaped(output.detail)})" if output.detail else ""
        same.setdefault(output.code, []).append(text)
    parts += [_outputs_markdown(code, said, sample) for code, said in same.items()]
    title = f"{marks} {sample.description or '(no description)'}"
    return markdown.folded(title, "\n\n".join(parts))


def _outputs_markdown(code: str, said: Sequence[str], sample: Sample) -> str:
    """Write a program once, below all rows that wrote it."""
    head = "  \n".join(said)
    if code == sample.reference:
        return f"{head}  \nwrote the reference, word for word."
    return f"{head}\n\n{fenced(code)}" if code.strip() else f"{head}  \nwrote nothing."


def _mark(output: SampleOutput) -> str:
    return MARKS[TONES.get(output.verdict, "fair")]
