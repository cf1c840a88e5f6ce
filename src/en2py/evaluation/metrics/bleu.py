"""BLEU, chrF and CrystalBLEU from summable counts per pair, equal to those of sacrebleu.

Texts are tokenized before, since sacrebleu's tokenizers are made for prose and ignore layout. Each
signature starts with the name of that tokenizer (`pre:`). The counts of a pair are our own, shared
by the metrics; sacrebleu takes several times longer for one pair.
"""

import heapq
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache

from sacrebleu.metrics import BLEU, CHRF

from en2py.data.files import digest
from en2py.evaluation.metrics.code_tokens import (
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
    """The training programs and their most frequent n-grams, computed when they are needed.

    Args:
        codes: The programs of the training split.
        k: Number of n-grams (of 1 to 4 tokens) that CrystalBLEU ignores.
        frequent: The programs whose n-grams are ignored; None: the same.
    """

    def __init__(
        self, codes: Iterable[str], *, k: int = 500, frequent: "TrainingCode | None" = None
    ) -> None:
        self.codes, self.k, self.frequent = list(codes), k, frequent

    @cached_property
    def digest(self) -> str:
        """Return a digest of all that scores depend on."""
        return digest([self.codes, self.k, self.frequent and self.frequent.digest])

    @cached_property
    def programs(self) -> set[Ngram]:
        """Return the tokens of each program."""
        return set(map(layout_tokens, self.codes))

    @cached_property
    def common(self) -> frozenset[Ngram]:
        """Return the most frequent n-grams; ties are resolved by spelling, not by order."""
        if self.frequent is not None:
            return self.frequent.common
        counts: Counter[Ngram] = Counter()
        for code in self.codes:
            counts.update(ngrams(layout_tokens(code)))
        found = heapq.nsmallest(self.k, counts.items(), key=lambda item: (-item[1], item[0]))
        return frozenset(ngram for ngram, _ in found)

    def contains(self, code: str) -> bool:
        """Return whether a training program has the same tokens, comments ignored."""
        return layout_tokens(code) in self.programs


def bleu_counts(output: str, references: Sequence[str]) -> list[int]:
    """Return the row of a pair for `bleu_value`, over Python's tokens and layout tokens.

    Of several references the closest length counts, and of each n-gram the largest number.
    """
    length, found = _layout_ngrams(output)
    lengths, wanted = zip(*map(_layout_ngrams, references), strict=True)
    return _row(length, found, lengths, wanted)


def conala_counts(output: str, reference: str) -> list[int]:
    """Return the row of a pair for unsmoothed `bleu_value`, as in the papers on CoNaLa."""
    texts = (" ".join(conala_tokens(code)).split() for code in (output, reference))
    found, wanted = ((len(tokens), ngrams(tokens)) for tokens in texts)
    return _row(*found, [wanted[0]], [wanted[1]])


def crystal_counts(output: str, reference: str, common: Collection[Ngram]) -> list[int]:
    """Return the row of a pair for `bleu_value`, without the most frequent n-grams.

    Eghbali and Pradel (2022), "CrystalBLEU": these n-grams are removed from matches and totals; the
    brevity penalty is that of the whole texts.
    """
    (length, found), (wanted_length, wanted) = map(_layout_ngrams, (output, reference))
    rest = {ngram: count for ngram, count in found.items() if ngram not in common}
    return _row(length, rest, [wanted_length], [wanted])


def chrf_counts(output: str, reference: str) -> list[int]:
    """Return the row of a pair for `chrf_value`; a layout token is one character long.

    Popovic (2015), "chrF". The row has the n-grams of the output, of the reference and of both, for
    1 to 6 characters.
    """
    rows = zip(_character_ngrams(output), _character_ngrams(reference), strict=True)
    return [n for f, w in rows for n in (f.total() if w else 0, w.total(), (f & w).total())]


def signatures(n_known: Collection[int] = (), k: int | None = None) -> dict[str, str]:
    """Return how each metric is computed, which begins with the name of the tokenizer.

    The numbers of known programs add `bleu_any`, the number of ignored n-grams `crystal_bleu`.
    """
    layout = BLEU(tokenize="none")
    bleu = _signature(layout, LAYOUT_NAME, [1])
    conala = BLEU(tokenize="none", smooth_method="none")
    chrf = CHRF(char_order=CHRF_ORDER, beta=CHRF_BETA)
    return {
        "bleu": bleu,
        "bleu_conala": _signature(conala, CONALA_NAME, [1]),
        "chrf": _signature(chrf, LAYOUT_NAME, [1]),
        **({"bleu_any": _signature(layout, LAYOUT_NAME, n_known)} if n_known else {}),
        **({} if k is None else {"crystal_bleu": f"{bleu}|k:{k}"}),
    }


def bleu_value(counts: Counts, smooth_method: str = "exp") -> float:
    """Return BLEU, 0 to 100, from [length, reference length, 4 matches, 4 totals]."""
    length, wanted, *ngrams = (int(count) for count in counts)
    correct, total = ngrams[:NGRAM_ORDER], ngrams[NGRAM_ORDER:]
    score = BLEU.compute_bleu(correct, total, length, wanted, smooth_method=smooth_method)
    return min(100.0, float(score.score))  # exp(log(100)) exceeds 100


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


def _row(
    length: int,
    found: Mapping[Ngram, int],
    lengths: Sequence[int],
    wanted: Sequence[Counter[Ngram]],
) -> list[int]:
    """Return [length, closest reference length, 4 matches, 4 totals], as sacrebleu counts."""
    correct, total = [0] * NGRAM_ORDER, [0] * NGRAM_ORDER
    for ngram, count in found.items():
        total[len(ngram) - 1] += count
        if most := max(reference[ngram] for reference in wanted):
            correct[len(ngram) - 1] += min(count, most)
    closest = min(lengths, key=lambda other: (abs(other - length), other))
    return [length, closest, *correct, *total]


@lru_cache(maxsize=16)  # an output is compared several times in a row
def _layout_ngrams(code: str) -> tuple[int, Counter[Ngram]]:
    tokens = layout_tokens(code)
    return len(tokens), ngrams(tokens)


def _character_ngrams(code: str) -> list[Counter[str]]:
    """Return the counts of n-grams of 1 to 6 characters, white space removed."""
    text = "".join(" ".join(map(_without_space, layout_tokens(code))).split())
    return [
        Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(1, CHRF_ORDER + 1)
    ]


def _signature(metric: BLEU | CHRF, name: str, numbers: Collection[int]) -> str:
    """Return the signature of a metric, which contains the numbers of references."""
    # sacrebleu expects one list per index of reference, with None where a pair has fewer.
    columns = [["x" if i < number else None for number in numbers] for i in range(max(numbers))]
    metric.corpus_score(["x"] * len(numbers), columns)
    return f"pre:{name}|{metric.get_signature()}"


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
