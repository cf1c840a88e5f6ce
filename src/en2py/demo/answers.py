"""What the demo page shows for a description: programs with scores, verdicts, attention."""

import functools
import html
import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from en2py.cli.generate import unknown_words
from en2py.data.cleaning.layout import autopep8
from en2py.data.cleaning.pipeline import Drop
from en2py.data.pairs import Pair
from en2py.data.syntax import parse
from en2py.decoding.beam_search import beam
from en2py.decoding.greedy import greedy
from en2py.evaluation.metrics.program_metrics import Program
from en2py.training import build
from en2py.training.module import Seq2SeqModule

LENGTH_PENALTY = 0.6  # Wu et al. (2016), equation 14
KINDS = {
    "cross": "code to words",
    "encoder": "words to words",
    "decoder": "code to code",
}


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint under the name that the page calls it."""

    name: str
    module: Seq2SeqModule


@dataclass(frozen=True)
class Candidate:
    """A program that a model wrote.

    Attributes:
        code: As formatted by autopep8 where it parses, else as written.
        written: As written, for the attention maps.
        score: Log-probability of the whole program.
        per_token: Geometric mean of its tokens' probabilities.
        error: Why it does not compile; None where it does.
        finished: Whether it came to its end within the length that the model can write.
    """

    code: str
    written: str
    score: float
    per_token: float
    error: str | None
    finished: bool

    @property
    def verdict(self) -> str:
        """Say in a few words what the parser says."""
        if not self.finished:
            return "cut off at the longest length the model can write"
        return "compiles" if self.error is None else f"does not compile: {self.error}"


@dataclass(frozen=True)
class Answer:
    """What a model has to say to a description: its programs, best first, and what it knew."""

    candidates: list[Candidate]
    unknown: list[str]


def load(paths: list[str]) -> list[Model]:
    """Load checkpoints, named after their run; two of one run are told apart by their files.

    Raises:
        UserError: If a file is missing or damaged.
    """
    modules = [build.load(path) for path in paths]
    names = [str(module.metadata["run"]) for module in modules]
    if len(set(names)) < len(names):
        names = [f"{n} ({Path(path).name})" for n, path in zip(names, paths, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number}. {name}" for number, name in enumerate(names, 1)]
    return [Model(name, module) for name, module in zip(names, modules, strict=True)]


def answer(module: Seq2SeqModule, description: str, width: int) -> Answer:
    """Write programs for a description.

    Args:
        module: The model.
        description: The task in English.
        width: Beams, and so the number of programs; 1 is greedy search.

    Raises:
        UserError: If the model cannot read the description.
    """
    unknown = unknown_words(module, description)
    max_len = module.metadata["config"]["model"]["max_tgt_len"]
    search = functools.partial(greedy, max_len=max_len, allow_unk=False)
    if width > 1:
        search = functools.partial(
            beam,
            max_len=max_len,
            allow_unk=False,
            beam_size=width,
            length_penalty=LENGTH_PENALTY,
        )
    [found] = module.candidates([description], search)
    candidates = []
    for hypothesis in found:
        written = module.text(hypothesis)
        n_tokens = len(hypothesis.ids) + hypothesis.finished
        candidates.append(
            Candidate(
                code=_formatted(written),
                written=written,
                score=hypothesis.score,
                per_token=math.exp(hypothesis.score / max(1, n_tokens)),
                error=Program(written).error,
                finished=hypothesis.finished,
            )
        )
    return Answer(candidates, unknown)


def _formatted(code: str) -> str:
    """Format a program; what does not parse, or is too large for the formatter, stays."""
    try:
        return autopep8(Pair("", "", code, ""), ignore="E731").code if parse(code) else code
    except Drop:
        return code


def attention_table(
    module: Seq2SeqModule, description: str, code: str, kind: str, layer: int, head: int
) -> str:
    """Return one attention map as an HTML table; texts are escaped.

    Args:
        module: The model.
        description: What it read.
        code: What it wrote.
        kind: A key of `KINDS`.
        layer: From 1.
        head: From 1; 0 is the mean of the heads.
    """
    labels, maps = module.attention(description, code)
    rows, columns = labels[kind]
    heads: Tensor = maps[kind][layer - 1]  # [H, T, S]
    weights = heads.mean(0) if head == 0 else heads[head - 1]  # [T, S]
    top = "".join(f'<th scope="col">{html.escape(label)}</th>' for label in columns)
    lines = [f'<table class="attention"><tr><th></th>{top}</tr>']
    for label, row in zip(rows, weights.tolist(), strict=True):
        cells = "".join(
            f'<td style="--w:{weight:.3f}" title="{weight:.0%}"></td>' for weight in row
        )
        lines.append(f'<tr><th scope="row">{html.escape(label)}</th>{cells}</tr>')
    return "\n".join([*lines, "</table>"])
