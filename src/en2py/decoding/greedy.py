"""Greedy search, and the token loop that it shares with sampling."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.cpu_kernels import logsumexp
from en2py.decoding.hypothesis import Engine, Hypothesis, Model, mask_special_tokens
from en2py.ranges import Length


@torch.inference_mode()
def greedy(
    model: Model | Engine, src: Tensor, vocab: Vocab, *, max_len: Length, allow_unk: bool
) -> list[list[Hypothesis]]:
    """Generate the most probable token at every step.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        allow_unk: Whether `<unk>` may be generated.
    """
    if isinstance(model, Engine):
        return model.search(src, width=1, max_len=max_len, allow_unk=allow_unk)

    def argmax(logits: Tensor, rows: Tensor, t: int) -> Tensor:
        return logits.argmax(-1)

    cache = model.start(src, max_len=max_len)
    rows = torch.arange(len(src), device=src.device)
    hypotheses = generate(model, cache, rows, vocab, max_len, allow_unk, argmax)
    return [[hypothesis] for hypothesis in hypotheses]


def generate(
    model: Model,
    cache: Any,
    rows: Tensor,
    vocab: Vocab,
    max_len: int,
    allow_unk: bool,
    choose: Callable[[Tensor, Tensor, int], Tensor],
) -> list[Hypothesis]:
    """Generate one hypothesis per row of the cache, token by token.

    Args:
        model: In eval mode.
        cache: Cache of the model.
        rows: Indices of the cache's rows, `[R]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        allow_unk: Whether `<unk>` may be generated.
        choose: Maps logits `[R, V]`, the rows that are not finished `[R]` and the step to ids
            `[R]`.
    """
    ids = torch.full_like(rows, vocab.bos_id)
    tokens = ids.new_full((len(rows), max_len), vocab.pad_id)
    scores = torch.zeros(len(rows), device=ids.device)
    for t in range(max_len):
        logits = mask_special_tokens(model.step(ids, cache), vocab, allow_unk)  # [R, V]
        ids = choose(logits, rows, t)  # [R]
        tokens[rows, t] = ids
        scores[rows] += (logits.gather(1, ids[:, None]) - logsumexp(logits)).squeeze(1)
        unfinished = (ids != vocab.eos_id).nonzero().squeeze(1)
        if len(unfinished) == 0:
            break
        if len(unfinished) < len(rows):
            rows, ids = rows[unfinished], ids[unfinished]
            cache.select(unfinished)
    hypotheses = []
    for row, score in zip(tokens.tolist(), scores.tolist(), strict=True):
        finished = vocab.eos_id in row
        program = row[: row.index(vocab.eos_id)] if finished else row
        hypotheses.append(Hypothesis(program, score, finished))
    return hypotheses
