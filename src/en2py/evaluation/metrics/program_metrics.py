"""Metrics of generated programs against references.

Every metric has summable counts per pair, and its value is a function of their sum. So its value
over a subset of the pairs (a bucket, a bootstrap sample) is computed from the same counts. BLEU,
chrF and their variants lie between 0 and 100, as in the literature; all other metrics between 0
and 1.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from en2py.data.syntax import NOT_A_PROGRAM, ast_text, ast_text_renamed, parse
from en2py.data.vocab import UNK
from en2py.evaluation.metrics.bleu import (
    Counts,
    TrainingCode,
    bleu_counts,
    bleu_value,
    chrf_counts,
    chrf_value,
    conala_counts,
    conala_value,
    crystal_counts,
)
from en2py.evaluation.metrics.code_bleu import available, code_bleu_counts, code_bleu_value
from en2py.evaluation.metrics.code_tokens import CACHED_PROGRAMS, layout_tokens

Answer = bool | float | None


class Program:
    """A program with the properties that metrics compare, computed once."""

    def __init__(self, text: str) -> None:
        self.text = text.strip("\n").rstrip()

    @cached_property
    def error(self) -> str | None:
        """Return why the text does not compile, None where it does; an empty text does not."""
        if not layout_tokens(self.text):
            return "nothing was written"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                compile(self.text, "<code>", "exec", dont_inherit=True)
            except SyntaxError as error:
                place = f", line {error.lineno}" if error.lineno else ""
                return f"{type(error).__name__}: {error.msg}{place}"
            except NOT_A_PROGRAM as error:
                return f"{type(error).__name__}: {error}"
        return None

    @cached_property
    def tree(self) -> str | None:
        """Return the syntax tree as text, None where the program does not parse."""
        return ast_text(self.text)

    @cached_property
    def renamed(self) -> str | None:
        """Return the syntax tree as text, with numbers in place of the program's own names."""
        return ast_text_renamed(self.text)

    @cached_property
    def function_name(self) -> str | None:
        """Return the name of the first function or class, None where there is none."""
        tree = parse(self.text)
        names = (getattr(node, "name", None) for node in tree.body) if tree else ()
        return next((name for name in names if name), None)


@lru_cache(maxsize=CACHED_PROGRAMS)
def _program(text: str) -> Program:
    """Return the program of a text; its properties are kept for the next row of a table."""
    return Program(text)


@dataclass(frozen=True)
class Row:
    """The scores of one pair.

    Attributes:
        verdict: `exact`, `exact up to layout`, `same up to names`, `compiles`, or why it does not
            compile.
        answers: Metric to answer, for metrics of single pairs; None where a metric does not apply
            to the pair.
    """

    verdict: str
    answers: dict[str, Answer]


@dataclass(frozen=True)
class Scores:
    """The result of `score`.

    Attributes:
        values: Metric to value over all pairs; without metrics that apply to no pair.
        rows: The scores of each pair.
        counts: Metric to summable counts per pair, for `metric_value`.
        signatures: How the metrics of the BLEU family were computed, or why one was not.
    """

    values: dict[str, float]
    rows: list[Row]
    counts: dict[str, list[Counts]]
    signatures: dict[str, str]


def score(
    outputs: Sequence[str],
    references: Sequence[str],
    *,
    known: Sequence[Sequence[str]] | None = None,
    training: TrainingCode | None = None,
) -> Scores:
    """Score generated programs.

    Args:
        outputs: One program per pair.
        references: The reference of each pair.
        known: All known programs of each description, from `seen_descriptions.known_codes`; adds
            the metrics `*_any`.
        training: The training programs; adds `copied` and `crystal_bleu`.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(outputs) != len(references):
        raise ValueError(f"{len(outputs)} outputs but {len(references)} references")
    if known is not None and len(known) != len(references):
        raise ValueError(f"{len(references)} references but known codes for {len(known)} pairs")
    if not outputs:
        return Scores({}, [], {}, {})
    programs = [_program(text) for text in outputs]
    wanted = [_program(text) for text in references]
    answers: list[dict[str, Answer]] = [
        {name: judge(output, reference) for name, judge in VERDICTS.items()}
        for output, reference in zip(programs, wanted, strict=True)
    ]
    singles = [[reference] for reference in references]
    family: dict[str, tuple[Sequence[Counts], str]] = {
        "bleu": bleu_counts(outputs, singles),
        "bleu_conala": conala_counts(outputs, singles),
        "chrf": chrf_counts(outputs, singles),
    }
    if not (problem := available()):
        family["code_bleu"] = code_bleu_counts(outputs, references)
    if known is not None:
        right = [list(dict.fromkeys([r, *k])) for r, k in zip(references, known, strict=True)]
        family["bleu_any"] = bleu_counts(outputs, right)
        for row, output, texts in zip(answers, programs, right, strict=True):
            judged = [_program(text) for text in texts]
            for name in JUDGED_BY_ANY:
                row[f"{name}_any"] = any(VERDICTS[name](output, program) for program in judged)
    if training is not None:
        family["crystal_bleu"] = crystal_counts(outputs, singles, training)
        for row, text in zip(answers, outputs, strict=True):
            row["copied"] = training.contains(text)
    counts: dict[str, list[Counts]] = {
        name: [_count(row[name]) for row in answers] for name in answers[0]
    }
    counts |= {name: list(table) for name, (table, _) in family.items()}
    signatures = {name: signature for name, (_, signature) in family.items()}
    signatures.setdefault("code_bleu", problem)
    rows = [
        Row(_verdict(output, reference), row)
        for output, reference, row in zip(programs, wanted, answers, strict=True)
    ]
    values = {}
    for name, table in counts.items():
        total = [sum(column) for column in zip(*table, strict=True)]
        if name in _FAMILY_VALUES or total[1]:
            values[name] = metric_value(name, total)
    return Scores(values, rows, counts, signatures)


def metric_value(name: str, counts: Counts) -> float:
    """Return the value of a metric from the sum of its counts over pairs."""
    return _FAMILY_VALUES[name](counts) if name in _FAMILY_VALUES else counts[0] / counts[1]


def edit_similarity(a: str, b: str) -> float:
    """Return 2 LCS / (len(a) + len(b)) over characters: 1 for equal texts, 0 for nothing shared.

    The longest common subsequence is computed column by column with the bits of one integer, as in
    Hyyrö (2004), "Bit-parallel LCS-length computation revisited".
    """
    places: dict[str, int] = {}
    for i, char in enumerate(a):
        places[char] = places.get(char, 0) | 1 << i
    ones = unmatched = (1 << len(a)) - 1
    for char in b:
        matched = unmatched & places.get(char, 0)
        unmatched = ((unmatched + matched) | (unmatched - matched)) & ones
    total = len(a) + len(b)
    return 2 * (len(a) - unmatched.bit_count()) / total if total else 1.0


def _verdict(output: Program, reference: Program) -> str:
    if output.text == reference.text:
        return "exact"
    if _same(output.tree, reference.tree):
        return "exact up to layout"
    if _same(output.renamed, reference.renamed):
        return "same up to names"
    return "compiles" if output.error is None else f"does not compile ({output.error})"


def _same(tree: str | None, wanted: str | None) -> bool:
    return wanted is not None and tree == wanted  # invalid texts have no tree


def _same_name(output: Program, reference: Program) -> bool | None:
    wanted = reference.function_name
    return None if wanted is None else output.function_name == wanted


# A new metric of single pairs is a line here and an entry of the registry.
VERDICTS: dict[str, Callable[[Program, Program], Answer]] = {
    "exact_match": lambda output, reference: output.text == reference.text,
    "exact_match_ast": lambda output, reference: _same(output.tree, reference.tree),
    "exact_match_renamed": lambda output, reference: _same(output.renamed, reference.renamed),
    "compiles": lambda output, reference: output.error is None,
    "edit_similarity": lambda output, reference: edit_similarity(output.text, reference.text),
    "function_name": _same_name,
    "has_unk": lambda output, reference: UNK in output.text,
}
JUDGED_BY_ANY = ("exact_match", "exact_match_ast", "exact_match_renamed")

# Metrics whose value is not the mean over pairs.
_FAMILY_VALUES: dict[str, Callable[[Counts], float]] = {
    "bleu": bleu_value,
    "bleu_any": bleu_value,
    "bleu_conala": conala_value,
    "chrf": chrf_value,
    "code_bleu": code_bleu_value,
    "crystal_bleu": bleu_value,
}


def _count(answer: Answer) -> Counts:
    """Return an answer as [sum, number]; metrics that do not apply count nothing."""
    return [0.0, 0] if answer is None else [float(answer), 1]
