"""Beam search."""

import math

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.cpu_kernels import logsumexp, topk
from en2py.decoding.hypothesis import Engine, Hypothesis, Model, mask_special_tokens
from en2py.ranges import Length


@torch.inference_mode()
def beam(
    model: Model | Engine,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: Length,
    beam_size: PositiveInt,
    length_penalty: NonNegativeFloat,
    allow_unk: bool,
) -> list[list[Hypothesis]]:
    """Extend the `beam_size` most probable hypotheses at every step.

    The search of a source ends when `beam_size` hypotheses are finished; at `max_len` unfinished
    ones count too. It compares scores alone, as Hugging Face (`early_stopping=True`,
    `length_penalty=0`) and CTranslate2 (`length_penalty=0`) do: all three find the same hypotheses.
    The result is then ranked with the length penalty, unfinished hypotheses last.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        beam_size: Hypotheses per source, W; as many are returned.
        length_penalty: Alpha of Wu et al. (2016), equation 14: 0 ranks by score alone, larger
            values prefer longer hypotheses. It changes the ranks, not the scores.
        allow_unk: Whether `<unk>` may be generated.
    """
    if isinstance(model, Engine):
        found = model.search(src, width=beam_size, max_len=max_len, allow_unk=allow_unk)
    else:
        found = beam_search(model, src, vocab, max_len, beam_size, allow_unk)

    def rank(hypothesis: Hypothesis) -> tuple[bool, float]:
        penalty = ((5 + len(hypothesis.ids) + 1) / 6) ** length_penalty  # EOS counts
        return hypothesis.finished, hypothesis.score / penalty

    return [sorted(hypotheses, key=rank, reverse=True) for hypotheses in found]


def beam_search(
    model: Model, src: Tensor, vocab: Vocab, max_len: int, width: int, allow_unk: bool
) -> list[list[Hypothesis]]:
    """Return `width` hypotheses of each source, by score; arguments as in `beam`."""
    cache = model.start(src, width=width, max_len=max_len)
    found: list[list[Hypothesis]] = [[] for _ in src]
    sources = list(range(len(src)))  # those whose search has not ended
    ids = src.new_full((len(src), width), vocab.bos_id)
    history = src.new_empty(len(src), width, 0)  # ids generated so far, [B, W, t]
    scores = torch.full((len(src), width), -math.inf, device=src.device)
    scores[:, 0] = 0.0  # at the start all hypotheses are equal: keep one
    for t in range(1, max_len + 1):
        logits = mask_special_tokens(model.step(ids.flatten(), cache), vocab, allow_unk)
        n_next = min(2 * width, logits.shape[1])  # enough even if `width` of them are EOS
        best, tokens = topk(logits, n_next)  # [B * W, n_next]
        best = best - logsumexp(logits)  # log-probabilities of these alone
        totals = (scores.view(-1, 1) + best).view(-1, width * n_next)
        totals, indices = totals.topk(min(2 * width, totals.shape[1]))  # [B, 2 W], best first
        parents = indices.div(n_next, rounding_mode="floor")
        tokens = tokens.view(-1, width * n_next).gather(1, indices)
        is_eos = tokens == vocab.eos_id
        ends = is_eos if t < max_len else torch.ones_like(is_eos)
        for row, rank in (ends & totals.isfinite())[:, :width].nonzero().tolist():
            finished = bool(is_eos[row, rank])
            program = history[row, parents[row, rank]].tolist()
            program += [] if finished else [int(tokens[row, rank])]
            hypotheses = found[sources[row]]
            hypotheses.append(Hypothesis(program, totals[row, rank].item(), finished))
            hypotheses.sort(key=lambda h: -h.score)
        open_rows = [row for row, source in enumerate(sources) if len(found[source]) < width]
        if not open_rows:
            break
        kept = is_eos.int().argsort(stable=True)[:, :width]  # the best unfinished ones, [B, W]
        scores, ids, parents = (x.gather(1, kept) for x in (totals, tokens, parents))
        history = history.gather(1, parents[..., None].expand_as(history))
        history = torch.cat([history, ids[..., None]], dim=-1)
        cache.reorder(parents)
        if len(open_rows) < len(sources):
            rows = torch.tensor(open_rows, dtype=torch.long, device=src.device)
            sources = [sources[row] for row in open_rows]
            scores, ids, history = scores[rows], ids[rows], history[rows]
            cache.select(rows)
    return [hypotheses[:width] for hypotheses in found]
