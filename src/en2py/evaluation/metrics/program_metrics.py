"""Metrics of generated programs against references.

Every metric has summable counts per pair, and its value is a function of their sum. So its value
over a subset of the pairs (a bucket, a bootstrap sample) is computed from the same counts. BLEU,
chrF and their variants lie between 0 and 100, as in the literature; all other metrics between 0
and 1.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

from en2py.data.parallel import Failed, ProcessPool
from en2py.data.syntax import compile_error, first_definition
from en2py.data.tree_text import Trees, trees_and
from en2py.data.vocab import UNK
from en2py.evaluation.metrics import code_bleu
from en2py.evaluation.metrics.bleu import (
    Counts,
    Ngram,
    TrainingCode,
    bleu_counts,
    bleu_value,
    chrf_counts,
    chrf_value,
    conala_counts,
    crystal_counts,
    signatures,
)
from en2py.evaluation.metrics.code_tokens import CACHED_PROGRAMS, layout_tokens

Answer = bool | float | None

SECONDS_PER_PROGRAM = 600.0  # of processor time for one program, which takes milliseconds


class Program:
    """A program with the properties that metrics compare, computed once."""

    def __init__(self, text: str) -> None:
        self.text = text.strip("\n").rstrip()

    @cached_property
    def error(self) -> str | None:
        """Return why the text does not compile, None where it does; an empty text does not."""
        if not layout_tokens(self.text):
            return "nothing was written"
        error = compile_error(self.text)
        if isinstance(error, SyntaxError):
            place = f", line {error.lineno}" if error.lineno else ""
            return f"{type(error).__name__}: {error.msg}{place}"
        return None if error is None else f"{type(error).__name__}: {error}"

    @cached_property
    def trees(self) -> Trees[str]:
        """Return the syntax tree as text, the same up to names, and the first definition's name."""
        return trees_and(first_definition, self.text)


@lru_cache(maxsize=CACHED_PROGRAMS)
def _program(text: str) -> Program:
    """Return the program of a text; its properties are kept for the next row of a table."""
    return Program(text)


@dataclass(frozen=True)
class PairScores:
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
        signatures: How the metrics of the BLEU family were computed.
    """

    values: dict[str, float]
    rows: list[PairScores]
    counts: dict[str, list[Counts]]
    signatures: dict[str, str]


def score(
    outputs: Sequence[str],
    references: Sequence[str],
    *,
    known: Sequence[Sequence[str]] | None = None,
    training: TrainingCode | None = None,
    with_code_bleu: bool = False,
    pool: ProcessPool | None = None,
) -> Scores:
    """Score generated programs.

    Args:
        outputs: One program per pair.
        references: The reference of each pair.
        known: All known programs of each description, from `seen_descriptions.known_codes`; adds
            the metrics `*_any`.
        training: The training programs; adds `copied` and `crystal_bleu`.
        with_code_bleu: Adds `code_bleu`.
        pool: Processes to share the work; None: this one alone.

    Raises:
        ImportError: If CodeBLEU cannot be computed here; see `code_bleu.available`.
        RuntimeError: If a program takes longer than `SECONDS_PER_PROGRAM`, or kills its process.
    """
    if not outputs:
        return Scores({}, [], {}, {})
    right: list[tuple[str, ...]] = [()] * len(references)
    if known is not None:
        own = zip(references, known, strict=True)
        right = [tuple(dict.fromkeys([reference, *others])) for reference, others in own]
    common, k = (None, None) if training is None else (training.common, training.k)
    score_pair = partial(_score_pair, common, with_code_bleu)
    rows: list[PairScores] = []
    counts: dict[str, list[Counts]] = {}
    items = list(zip(outputs, references, right, strict=True))
    scored = map(score_pair, items) if pool is None else pool.map(score_pair, items)
    for output, found in zip(outputs, scored, strict=True):
        if isinstance(found, Failed):
            raise RuntimeError(f"a program cannot be scored: {found.reason}:\n{output}")
        row, family = found
        if training is not None:
            row.answers["copied"] = training.contains(output)
        rows.append(row)
        singles = {name: _count(answer) for name, answer in row.answers.items()}
        for name, count in (singles | family).items():
            counts.setdefault(name, []).append(count)
    how = signatures({len(programs) for programs in right if programs}, k)
    if with_code_bleu:
        how["code_bleu"] = code_bleu.signature()
    values = {}
    for name, table in counts.items():
        total = [sum(column) for column in zip(*table, strict=True)]
        if name in _FAMILY_VALUES or total[1]:
            values[name] = metric_value(name, total)
    return Scores(values, rows, counts, how)


def _score_pair(
    common: Collection[Ngram] | None,
    with_code_bleu: bool,
    texts: tuple[str, str, tuple[str, ...]],
) -> tuple[PairScores, dict[str, Counts]]:
    """Return the scores of a pair, and its counts of the metrics of the BLEU family.

    The texts are the program, its reference, and all known programs of the description or none.
    Without common n-grams, which CrystalBLEU ignores, it is not computed.
    """
    output, reference, known = texts
    program, wanted = _program(output), _program(reference)
    answers = {name: judge(program, wanted) for name, judge in JUDGES.items()}
    bleu = bleu_counts(output, [reference])
    family: dict[str, Counts] = {
        "bleu": bleu,
        "bleu_conala": conala_counts(output, reference),
        "chrf": chrf_counts(output, reference),
    }
    if with_code_bleu:
        family["code_bleu"] = code_bleu.code_bleu_counts(output, reference)
    if known:
        family["bleu_any"] = bleu_counts(output, known) if len(known) > 1 else bleu
        for name in JUDGED_BY_ANY:
            judged = any(JUDGES[name](program, _program(text)) for text in known[1:])
            answers[f"{name}_any"] = bool(answers[name]) or judged
    if common is not None:
        family["crystal_bleu"] = crystal_counts(output, reference, common)
    return PairScores(_verdict(program, wanted), answers), family


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
    if _same(output.trees.text, reference.trees.text):
        return "exact up to layout"
    if _same(output.trees.renamed, reference.trees.renamed):
        return "same up to names"
    return "compiles" if output.error is None else f"does not compile ({output.error})"


def _same(tree: str | None, wanted: str | None) -> bool:
    return wanted is not None and tree == wanted  # invalid texts have no tree


def _same_name(output: Program, reference: Program) -> bool | None:
    wanted = reference.trees.found
    return None if wanted is None else output.trees.found == wanted


# A new metric of single pairs is a function here and an entry of `registry.METRICS`.
JUDGES: dict[str, Callable[[Program, Program], Answer]] = {
    "exact_match": lambda output, reference: output.text == reference.text,
    "exact_match_ast": lambda output, reference: _same(output.trees.text, reference.trees.text),
    "exact_match_renamed": lambda output, reference: _same(
        output.trees.renamed, reference.trees.renamed
    ),
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
    "bleu_conala": partial(bleu_value, smooth_method="none"),
    "chrf": chrf_value,
    "code_bleu": code_bleu.code_bleu_value,
    "crystal_bleu": bleu_value,
}


def _count(answer: Answer) -> Counts:
    """Return an answer as [sum, number]; metrics that do not apply count nothing."""
    return [0.0, 0] if answer is None else [float(answer), 1]
