"""Minimum Bayes risk decoding over samples (Kumar & Byrne, 2004; Eikema & Aziz, 2020)."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Unpack

import torch
from pydantic import Field
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.grammar import compiles
from en2py.decoding.hypothesis import Hypothesis, Model
from en2py.decoding.sampling import Draws, sample
from en2py.ranges import Length


@torch.inference_mode()
def mbr(
    model: Model,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: Length,
    n_samples: Annotated[int, Field(ge=2)],
    similarity: Literal["chrf", "bleu"],
    **draws: Unpack[Draws],
) -> list[list[Hypothesis]]:
    """Draw programs and rank them by their mean similarity to the other draws.

    Draws that do not compile are ranked last and are not compared with, if any compiles.

    Args:
        model: In eval mode.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        n_samples: Draws per source.
        similarity: Sentence chrF, or sentence BLEU of tokens.
        **draws: See `sample`; with the tokenizer of the target side.
    """
    tokenizer = draws.get("tokenizer")
    if tokenizer is None:
        raise ValueError("mbr compiles programs, so it needs their tokenizer")
    drawn = sample(model, src, vocab, max_len=max_len, n_samples=n_samples, **draws)
    measure = _measure(similarity)
    ranked = []
    for hypotheses in drawn:
        tokens = [vocab.decode(hypothesis.ids) for hypothesis in hypotheses]
        valid = [
            place
            for place, hypothesis in enumerate(hypotheses)
            if hypothesis.finished and compiles(tokenizer.detokenize(tokens[place]))
        ]
        compared = valid or list(range(len(hypotheses)))
        means = _mean_similarities([" ".join(tokens[i]) for i in compared], measure)
        best_first = sorted(range(len(compared)), key=lambda i: -means[i])  # stable: ties by score
        order = [compared[i] for i in best_first]
        order += [i for i in range(len(hypotheses)) if i not in compared]
        ranked.append([hypotheses[i] for i in order])
    return ranked


def _mean_similarities(texts: Sequence[str], measure: Callable[[str, str], float]) -> list[float]:
    """Return the mean similarity of each text to the others."""
    counts = Counter(texts)
    found = {}
    for text in counts:
        others = counts - Counter([text])
        total = sum(n * measure(text, other) for other, n in others.items())
        found[text] = total / max(1, others.total())
    return [found[text] for text in texts]


@cache
def _measure(similarity: str) -> Callable[[str, str], float]:
    """Return a function of two texts of tokens joined by spaces, 0 to 100."""
    from sacrebleu.metrics import BLEU, CHRF

    metric: Any = CHRF() if similarity == "chrf" else BLEU(tokenize="none", effective_order=True)
    return lambda text, other: float(metric.sentence_score(text, [other]).score)
