"""A constant program, and programs chosen with the reference in view."""

from collections import Counter
from collections.abc import Sequence

from en2py.data.duplicates import core_description
from en2py.data.neighbours import ROWS
from en2py.data.pairs import Pair
from en2py.data.tree_text import ast_text
from en2py.evaluation.baselines.program_bleu import log_bleu, occurrences, program_ngrams
from en2py.evaluation.metrics.bleu import NGRAM_ORDER, Ngram, bleu_value
from en2py.evaluation.metrics.code_tokens import layout_tokens


def constant(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return one program for all pairs: the training program with the best training BLEU.

    Its scores show what a metric awards without any input.
    """
    tokens = [layout_tokens(pair.code) for pair in train]
    # min(a, b) is the number of t with t <= a and t <= b. So the matches of a program with all
    # others are a sum over its (n-gram, t) of how many programs have the n-gram t times or more.
    having: Counter[tuple[Ngram, int]] = Counter()
    for program in tokens:
        having.update(occurrences(program))
    n_wanted = sum(map(len, tokens))

    def bleu(place: int) -> float:
        correct, total = [0] * NGRAM_ORDER, [0] * NGRAM_ORDER
        for occurrence in occurrences(tokens[place]):
            order = len(occurrence[0]) - 1
            correct[order] += having[occurrence]
            total[order] += len(train)
        return bleu_value([len(tokens[place]) * len(train), n_wanted, *correct, *total])

    best = max(range(len(train)), key=bleu)
    return [train[best].code] * len(test)


def nearest_by_bleu(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return the training program with the highest BLEU against the reference, which it sees.

    No system that copies whole training programs has a higher BLEU, up to the difference between
    BLEU per pair and corpus BLEU. Other metrics are not bounded: a program with a lower BLEU may
    behave as the reference does.
    """
    codes = [pair.code for pair in train]
    known, wanted = program_ngrams(codes, [pair.code for pair in test])
    nearest = [
        place
        for first in range(0, len(test), ROWS)
        for place in log_bleu(known, wanted.rows(slice(first, first + ROWS))).argmax(axis=1)
    ]
    return [codes[place] for place in nearest]


def second_human(train: Sequence[Pair], test: Sequence[Pair]) -> list[str]:
    """Return another person's code for the same description.

    Returns:
        The first program with another syntax tree, from the training split or else the test split;
        an empty text if there is none, and such pairs must not be scored. Pairs that a machine made
        have none.
    """
    written: dict[str, dict[str | None, str]] = {}  # task -> tree -> the first code with it
    for pair in (*train, *test):
        if pair.family:
            continue
        task = written.setdefault(core_description(pair.description), {})
        task.setdefault(ast_text(pair.code), pair.code)

    def other(pair: Pair) -> str:
        task = "" if pair.family else core_description(pair.description)
        trees = written.get(task, {}) if task else {}
        return next((code for tree, code in trees.items() if tree != ast_text(pair.code)), "")

    return [other(pair) for pair in test]
