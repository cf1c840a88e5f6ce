"""Beam search."""

import math

import torch
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.cpu_kernels import largest, normalisers
from en2py.decoding.hypothesis import Engine, Hypothesis, Model, _allowed


@torch.inference_mode()
def beam(
    model: Model | Engine,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: int,
    beam_size: int,
    length_penalty: float,
    allow_unk: bool,
) -> list[list[Hypothesis]]:
    """Follow the `beam_size` likeliest beginnings.

    A source is done when `beam_size` of its hypotheses have finished; at `max_len` those that are
    open count too. The search goes by score alone, as in Hugging Face (`early_stopping=True`,
    `length_penalty=0`) and CTranslate2 (`length_penalty=0`): all three find the same. Then the
    finished ones are ranked, with the length penalty; unfinished ones come last.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens, EOS included.
        beam_size: Hypotheses per source, W; as many are returned.
        length_penalty: Alpha of Wu et al. (2016), equation 14: 0 ranks by score alone, more
            favours longer hypotheses. It moves the ranks, not the scores.
        allow_unk: Whether `<unk>` may be written.
    """
    if beam_size < 1:
        raise ValueError(f"beam_size ({beam_size}) is not above 0")
    if isinstance(model, Engine):
        found = model.search(src, width=beam_size, max_len=max_len, allow_unk=allow_unk)
    else:
        found = _follow(model, src, vocab, max_len, beam_size, allow_unk)

    def rank(hypothesis: Hypothesis) -> tuple[bool, float]:
        penalty = ((5 + len(hypothesis.ids) + 1) / 6) ** length_penalty  # EOS counts
        return hypothesis.finished, hypothesis.score / penalty

    return [sorted(hypotheses, key=rank, reverse=True) for hypotheses in found]


def _follow(
    model: Model, src: Tensor, vocab: Vocab, max_len: int, width: int, allow_unk: bool
) -> list[list[Hypothesis]]:
    """Return the `width` hypotheses of each source that the search of `beam` ends with."""
    cache = model.start(src, width=width, max_len=max_len)
    found: list[list[Hypothesis]] = [[] for _ in src]
    sources = list(range(len(src)))  # not yet done
    ids = src.new_full((len(src), width), vocab.bos_id)
    history = src.new_empty(len(src), width, 0)  # ids written so far, [B, W, t]
    scores = torch.full((len(src), width), -math.inf, device=src.device)
    scores[:, 0] = 0.0  # at the start all hypotheses are the same one
    for t in range(1, max_len + 1):
        logits = _allowed(model.step(ids.flatten(), cache), vocab, allow_unk)  # [B * W, V]
        n_next = min(2 * width, logits.shape[1])  # enough, however many of them are EOS
        best, tokens = largest(logits, n_next)  # [B * W, n_next]
        best = best - normalisers(logits)  # only the winners are normalised
        totals = (scores.view(-1, 1) + best).view(-1, width * n_next)
        totals, places = totals.topk(min(2 * width, totals.shape[1]))  # [B, 2 W], best first
        parents = places.div(n_next, rounding_mode="floor")
        tokens = tokens.view(-1, width * n_next).gather(1, places)
        ends = tokens == vocab.eos_id
        done = ends if t < max_len else torch.ones_like(ends)
        for row, rank in (done & totals.isfinite())[:, :width].nonzero().tolist():
            finished = bool(ends[row, rank])
            written = history[row, parents[row, rank]].tolist()
            written += [] if finished else [int(tokens[row, rank])]
            hypotheses = found[sources[row]]
            hypotheses.append(Hypothesis(written, totals[row, rank].item(), finished))
            hypotheses.sort(key=lambda h: -h.score)
        open_rows = [row for row, source in enumerate(sources) if len(found[source]) < width]
        if not open_rows:
            break
        going = ends.int().argsort(stable=True)[:, :width]  # the best that go on, [B, W]
        scores, ids, parents = (x.gather(1, going) for x in (totals, tokens, parents))
        history = history.gather(1, parents[..., None].expand_as(history))
        history = torch.cat([history, ids[..., None]], dim=-1)
        cache.reorder(parents)
        if len(open_rows) < len(sources):
            rows = torch.tensor(open_rows, dtype=torch.long, device=src.device)
            sources = [sources[row] for row in open_rows]
            scores, ids, history = scores[rows], ids[rows], history[rows]
            cache.select(rows)
    return [hypotheses[:width] for hypotheses in found]
