"""What the templates show of samples and attention maps."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from en2py.evaluation.metrics.code_tokens import token_class
from en2py.evaluation.plots.style import token_label, visible
from en2py.evaluation.results import AttentionSample, Sample, SampleOutput

KEY = "✓ right, ○ compiles but could not be tested, ✗ wrong"
_MARKS = {"good": "✓", "fair": "○", "bad": "✗"}
_TONES = {
    **dict.fromkeys(("exact", "passes", "behaves"), "good"),
    "compiles": "fair",
    **dict.fromkeys(("wrong", "does not compile"), "bad"),
}
_KINDS = {
    "cross": "cross: code attends to the description",
    "encoder": "encoder: the description attends to itself",
    "decoder": "decoder: code attends to earlier code",
}


def sample_views(
    samples: Sequence[Sample], names: Sequence[str], attention: Sequence[AttentionSample]
) -> dict[str, Any]:
    """Return what the templates show of samples.

    The names are those of all rows, in the order of the tables; `attention` has the maps of the
    page.
    """
    maps = {(entry.row, entry.sample): place for place, entry in enumerate(attention)}
    views: list[dict[str, Any]] = []
    for sample in samples:
        outputs = [
            _output_view(name, sample.outputs[name], maps.get((name, sample.id)))
            for name in names
            if name in sample.outputs
        ]
        same: dict[str, list[Mapping[str, Any]]] = {}  # a program is shown once in Markdown
        for output in outputs:
            same.setdefault(output["code"], []).append(output)
        views.append({"sample": sample, "outputs": outputs, "by_code": same})
    verdicts = {output["verdict"] for view in views for output in view["outputs"]}
    return {
        "samples": views,
        "names": list(names),
        "verdicts": sorted(verdicts, key=lambda v: ([*_TONES, v].index(v), v)),
    }


def attention_maps(
    attention: Sequence[AttentionSample], samples: Sequence[Sample]
) -> list[dict[str, Any]]:
    """Return the data of the attention viewer.

    Weights are bytes, so that a map of 60 by 60 tokens in 8 heads and 3 layers takes 115 kB; one
    step is 1/255 of the largest weight.
    """
    descriptions = {sample.id: " ".join(sample.description.split()) for sample in samples}
    rows = list(dict.fromkeys(entry.row for entry in attention))
    return [
        {
            "row": visible(entry.row),
            "row_number": rows.index(entry.row),
            "sample": visible(entry.sample),
            "description": visible(descriptions.get(entry.sample) or entry.sample),
            "kinds": [_attention_map(entry, kind) for kind in _KINDS if kind in entry.weights],
        }
        for entry in attention
    ]


def _output_view(name: str, output: SampleOutput, map_number: int | None) -> dict[str, Any]:
    tone = _TONES.get(output.verdict, "fair")
    return {
        "name": name,
        "code": output.code,
        "verdict": output.verdict,
        "detail": output.detail,
        "tone": tone,
        "mark": _MARKS[tone],
        "map_number": map_number,
    }


def _attention_map(entry: AttentionSample, kind: str) -> dict[str, Any]:
    weights = np.asarray(entry.weights[kind], dtype=float)  # [L, H, T, S]
    rows, columns = entry.labels[kind]
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
