"""BLEU, chrF and CrystalBLEU as counts per pair that may be added up.

sacrebleu counts and computes; what it is handed is pre-tokenized, for its own tokenizers are made
for prose and see no layout. The name of the pre-tokenizer (`pre:`) heads each signature.
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sacrebleu.metrics import BLEU, CHRF

from en2py.evaluation.metrics.code_tokens import (
    CONALA_NAME,
    LAYOUT_NAME,
    conala_tokens,
    layout_tokens,
)

NGRAM_ORDER = 4
Counts = Sequence[int | float]
Ngram = tuple[str, ...]


class TrainingCode:
    """What metrics know about the training programs.

    Args:
        codes: The programs of the training split.
        k: N-grams (of 1 to 4 tokens) that CrystalBLEU leaves out, the commonest.
    """

    def __init__(self, codes: Iterable[str], *, k: int = 500) -> None:
        self.k = k
        self.programs: set[Ngram] = set()
        counts: Counter[Ngram] = Counter()
        for code in codes:
            tokens = layout_tokens(code)
            self.programs.add(tuple(tokens))
            counts.update(ngrams(tokens))
        # Ties go by spelling, so that the order of the programs makes no difference.
        common = heapq.nsmallest(k, counts.items(), key=lambda item: (-item[1], item[0]))
        self.common = {ngram for ngram, _ in common}

    def holds(self, code: str) -> bool:
        """Tell whether a program was seen in training, token for token, comments aside."""
        return tuple(layout_tokens(code)) in self.programs


def bleu_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[int]], str]:
    """Count for BLEU over Python's tokens with layout words.

    Args:
        outputs: Generated programs.
        references: One or more right programs for each.

    Returns:
        A row per pair for `bleu_value`, and the signature.
    """
    return _counts(BLEU(tokenize="none"), _layout_text, LAYOUT_NAME, outputs, references)


def chrf_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[int]], str]:
    """Count for chrF over the same text, where layout words are one character each."""
    return _counts(CHRF(), _layout_text, LAYOUT_NAME, outputs, references)


def conala_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[list[int]], str]:
    """Count for BLEU as CoNaLa's papers compute it: blind to layout, without smoothing."""
    metric = BLEU(tokenize="none", smooth_method="none")
    return _counts(metric, _conala_text, CONALA_NAME, outputs, references)


def crystal_counts(
    outputs: Sequence[str], references: Sequence[Sequence[str]], train: TrainingCode
) -> tuple[list[list[int]], str]:
    """Count as for BLEU, without the n-grams that programs share whatever they do.

    Eghbali and Pradel (2022), "CrystalBLEU": the commonest n-grams count neither as matches nor
    as chances; the brevity penalty stays that of the whole texts. One reference per output.
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
    signature = _counts(BLEU(tokenize="none"), _layout_text, LAYOUT_NAME, ["x"], [["x"]])[1]
    return rows, f"{signature}|k:{train.k}"


def bleu_value(counts: Counts, smooth_method: str = "exp") -> float:
    """Return BLEU, 0 to 100, from [length, reference length, 4 matches, 4 totals]."""
    length, wanted, *ngrams = (int(count) for count in counts)
    correct, total = ngrams[:NGRAM_ORDER], ngrams[NGRAM_ORDER:]
    score = BLEU.compute_bleu(correct, total, length, wanted, smooth_method=smooth_method)
    return min(100.0, float(score.score))  # exp(log(100)) is a little more


def conala_value(counts: Counts) -> float:
    """Return unsmoothed BLEU, 0 to 100."""
    return bleu_value(counts, smooth_method="none")


def chrf_value(counts: Counts) -> float:
    """Return chrF, 0 to 100, from [characters, reference characters, matches] per order."""
    return float(CHRF()._compute_score_from_stats([int(count) for count in counts]).score)


def _counts(
    metric: BLEU | CHRF,
    text: Callable[[str], str],
    name: str,
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
) -> tuple[list[list[int]], str]:
    """Let a metric of sacrebleu count, pair by pair."""
    width = max((len(known) for known in references), default=0)
    # sacrebleu wants one list per rank of reference, and None where a pair has no more of them.
    ranks = [
        [text(known[rank]) if rank < len(known) else None for known in references]
        for rank in range(width)
    ]
    # Not public, and what sacrebleu's own significance tests use; pinned below 3 and tested equal
    # to `corpus_score`, which keeps no counts per pair.
    rows = metric._extract_corpus_statistics([text(output) for output in outputs], ranks)
    return rows, f"pre:{name}|{metric.get_signature()}"


def _layout_text(code: str) -> str:
    return " ".join(map(_without_blanks, layout_tokens(code)))


def _conala_text(code: str) -> str:
    return " ".join(conala_tokens(code))


def _without_blanks(token: str) -> str:
    """Write a token without white space, at which sacrebleu would cut it."""
    return re.sub(r"\s", lambda m: "␣" if m[0] == " " else f"\\u{ord(m[0]):04x}", token)


def ngrams(tokens: Sequence[str]) -> Counter[Ngram]:
    """Count the n-grams of 1 to 4 tokens."""
    return Counter(
        tuple(tokens[i : i + n])
        for n in range(1, NGRAM_ORDER + 1)
        for i in range(len(tokens) - n + 1)
    )
