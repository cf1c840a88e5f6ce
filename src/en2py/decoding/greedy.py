"""From a trained model to target ids: greedy, beam search, sampling; batched, with a cache.

Each function takes the model, source ids `[B, S]` and the target vocabulary, and returns for every
source its hypotheses, best first. What is finished leaves the batch. PAD and BOS are never written.
In the model's place, greedy and beam search take an engine that searches by itself.

Shape letters: B sources, S source length, V target vocabulary, R rows still being written,
W hypotheses per source.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.cpu_kernels import normalisers
from en2py.decoding.hypothesis import Engine, Hypothesis, Model, _allowed


@torch.inference_mode()
def greedy(
    model: Model | Engine, src: Tensor, vocab: Vocab, *, max_len: int, allow_unk: bool
) -> list[list[Hypothesis]]:
    """Take the likeliest token at every step.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens, EOS included.
        allow_unk: Whether `<unk>` may be written.
    """
    if isinstance(model, Engine):
        return model.search(src, width=1, max_len=max_len, allow_unk=allow_unk)

    def likeliest(logits: Tensor, rows: Tensor, t: int) -> Tensor:
        return logits.argmax(-1)

    cache = model.start(src, max_len=max_len)
    rows = torch.arange(len(src), device=src.device)
    found = _write(model, cache, rows, vocab, max_len, allow_unk, likeliest)
    return [[hypothesis] for hypothesis in found]


def _write(
    model: Model,
    cache: Any,
    rows: Tensor,
    vocab: Vocab,
    max_len: int,
    allow_unk: bool,
    choose: Callable[[Tensor, Tensor, int], Tensor],
) -> list[Hypothesis]:
    """Write one hypothesis per row of the cache, choosing token after token.

    `rows` `[R]` counts the cache's rows; `choose` maps logits `[R, V]`, the rows still being
    written `[R]` and the step to ids `[R]`.
    """
    ids = torch.full_like(rows, vocab.bos_id)
    tokens = ids.new_full((len(rows), max_len), vocab.pad_id)
    scores = torch.zeros(len(rows), device=ids.device)
    for t in range(max_len):
        logits = _allowed(model.step(ids, cache), vocab, allow_unk)  # [R, V]
        ids = choose(logits, rows, t)  # [R]
        tokens[rows, t] = ids
        scores[rows] += (logits.gather(1, ids[:, None]) - normalisers(logits)).squeeze(1)
        going = (ids != vocab.eos_id).nonzero().squeeze(1)
        if len(going) == 0:
            break
        if len(going) < len(rows):
            rows, ids = rows[going], ids[going]
            cache.select(going)
    found = []
    for row, score in zip(tokens.tolist(), scores.tolist(), strict=True):
        finished = vocab.eos_id in row
        found.append(
            Hypothesis(row[: row.index(vocab.eos_id)] if finished else row, score, finished)
        )
    return found
