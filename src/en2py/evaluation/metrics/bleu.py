"""BLEU, chrF and CrystalBLEU from summable counts per pair, computed by sacrebleu.

Texts are tokenized before, since sacrebleu's tokenizers are made for prose and ignore layout. Each
signature starts with the name of that tokenizer (`pre:`).
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from sacrebleu.metrics import BLEU, CHRF

from en2py.evaluation.metrics.code_tokens import (
    CACHED_PROGRAMS,
    CONALA_NAME,
    LAYOUT_NAME,
    conala_tokens,
    layout_tokens,
)

NGRAM_ORDER = 4
CHRF_ORDER, CHRF_BETA = 6, 2  # sacrebleu's defaults
Counts = Sequence[int | float]
Ngram = tuple[str, ...]


class TrainingCode:
    """The training programs and their most frequent n-grams.

    Args:
        codes: The programs of the training split.
        k: Number of n-grams (of 1 to 4 tokens) that CrystalBLEU ignores.
    """

    def __init__(self, codes: Iterable[str], *, k: int = 500) -> None:
        self.k = k
        self.programs: set[Ngram] = set()
        counts: Counter[Ngram] = Counter()
        for code in codes:
            tokens = layout_tokens(code)
            self.programs.add(tokens)
            counts.update(ngrams(tokens))
        # Ties are resolved by spelling, independently of the order of the programs.
        common = heapq.nsmallest(k, counts.items(), key=lambda item: (-item[1], item[0]))
        self.common = {ngram for ngram, _ in common}

    def contains(self, code: str) -> bool:
        """Return whether a training program has the same tokens, comments ignored."""
        return layout_tokens(code) in self.programs


def bleu_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[int]], str]:
    """Return counts of BLEU over Python's tokens and layout tokens.

    Args:
        outputs: Generated programs.
        references: One or more references of each.

    Returns:
        A row per pair for `bleu_value`, and the signature.
    """
    return _counts(BLEU(tokenize="none"), _layout_text, LAYOUT_NAME, outputs, references)


def chrf_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[int]], str]:
    """Return counts of chrF over the same text, in which layout tokens are one character long.

    Popovic (2015), "chrF": of several references the one with the best score counts. A row has the
    n-grams of the output, of the reference and of both, for 1 to 6 characters.
    """
    rows = []
    for output, known in zip(outputs, references, strict=True):
        found = _character_ngrams(output)
        candidates = [_chrf_row(found, _character_ngrams(reference)) for reference in known]
        rows.append(max(candidates, key=chrf_value))
    return rows, _signature(CHRF(char_order=CHRF_ORDER, beta=CHRF_BETA), LAYOUT_NAME, references)


def conala_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[int]], str]:
    """Return counts of BLEU as in the papers on CoNaLa: without layout and smoothing."""
    metric = BLEU(tokenize="none", smooth_method="none")
    return _counts(metric, _conala_text, CONALA_NAME, outputs, references)


def crystal_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]], train: TrainingCode
) -> tuple[list[list[int]], str]:
    """Return counts of BLEU without the most frequent n-grams of the training code.

    Eghbali and Pradel (2022), "CrystalBLEU": these n-grams are removed from matches and totals; the
    brevity penalty is that of the whole texts. One reference per output.
    """
    rows = []
    for output, (reference,) in zip(outputs, references, strict=True):
        tokens, wanted = layout_tokens(output), layout_tokens(reference)
        possible = ngrams(wanted)
        correct, total = [0] * NGRAM_ORDER, [0] * NGRAM_ORDER
        for ngram, count in ngrams(tokens).items():
            if ngram not in train.common:
                total[len(ngram) - 1] += count
                correct[len(ngram) - 1] += min(count, possible[ngram])
        rows.append([len(tokens), len(wanted), *correct, *total])
    signature = _signature(BLEU(tokenize="none"), LAYOUT_NAME, [["x"]])
    return rows, f"{signature}|k:{train.k}"


def bleu_value(counts: Counts, smooth_method: str = "exp") -> float:
    """Return BLEU, 0 to 100, from [length, reference length, 4 matches, 4 totals]."""
    length, wanted, *ngrams = (int(count) for count in counts)
    correct, total = ngrams[:NGRAM_ORDER], ngrams[NGRAM_ORDER:]
    score = BLEU.compute_bleu(correct, total, length, wanted, smooth_method=smooth_method)
    return min(100.0, float(score.score))  # exp(log(100)) exceeds 100


def conala_value(counts: Counts) -> float:
    """Return unsmoothed BLEU, 0 to 100."""
    return bleu_value(counts, smooth_method="none")


def chrf_value(counts: Counts) -> float:
    """Return chrF, 0 to 100, from [output, reference, matches] per order: the mean F-score."""
    triples = [counts[i : i + 3] for i in range(0, 3 * CHRF_ORDER, 3)]
    used = [triple for triple in triples if triple[0] and triple[1]]
    if not any(match for _, _, match in used):
        return 0.0
    precision = sum(match / n_output for n_output, _, match in used) / len(used)
    recall = sum(match / n_reference for _, n_reference, match in used) / len(used)
    factor = CHRF_BETA**2
    return 100 * ((1 + factor) * precision * recall / (factor * precision + recall))


def _chrf_row(found: Sequence[Counter[str]], wanted: Sequence[Counter[str]]) -> list[int]:
    rows = zip(found, wanted, strict=True)
    return [n for f, w in rows for n in (f.total() if w else 0, w.total(), (f & w).total())]


def _character_ngrams(code: str) -> list[Counter[str]]:
    """Return the counts of n-grams of 1 to 6 characters, white space removed."""
    text = "".join(_layout_text(code).split())
    return [
        Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(1, CHRF_ORDER + 1)
    ]


def _counts(
    metric: BLEU,
    text: Callable[[str], str],
    name: str,
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
) -> tuple[list[list[int]], str]:
    """Return the counts per pair of a variant of BLEU, and its signature."""
    rows = []
    for output, known in zip(outputs, references, strict=True):
        score = metric.corpus_score([text(output)], [[text(reference)] for reference in known])
        rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return rows, _signature(metric, name, references)


def _signature(metric: BLEU | CHRF, name: str, references: Sequence[Sequence[str]]) -> str:
    """Return the signature of a metric, which contains the number of references."""
    numbers = sorted({len(known) for known in references})
    # sacrebleu expects one list per index of reference, with None where a pair has fewer.
    columns = [
        ["x" if i < number else None for number in numbers] for i in range(max(numbers, default=0))
    ]
    if columns:
        metric.corpus_score(["x"] * len(numbers), columns)
    return f"pre:{name}|{metric.get_signature()}"


@lru_cache(maxsize=CACHED_PROGRAMS)
def _layout_text(code: str) -> str:
    return " ".join(map(_without_space, layout_tokens(code)))


@lru_cache(maxsize=CACHED_PROGRAMS)
def _conala_text(code: str) -> str:
    return " ".join(conala_tokens(code))


def _without_space(token: str) -> str:
    """Replace white space in a token, at which sacrebleu would split it."""
    return re.sub(r"\s", lambda m: "␣" if m[0] == " " else f"\\u{ord(m[0]):04x}", token)


def ngrams(tokens: Sequence[str]) -> Counter[Ngram]:
    """Return the counts of all n-grams of 1 to 4 tokens."""
    return Counter(
        tuple(tokens[i : i + n])
        for n in range(1, NGRAM_ORDER + 1)
        for i in range(len(tokens) - n + 1)
    )
