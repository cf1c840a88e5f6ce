"""Beam search."""

import math
from collections import Counter
from typing import Unpack

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.constraints import MOST_REFUSED, Constraints, Limits
from en2py.decoding.cpu_kernels import topk
from en2py.decoding.grammar import Grammar, State
from en2py.decoding.hypothesis import Engine, Hypothesis, Model
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
    **limits: Unpack[Limits],
) -> list[list[Hypothesis]]:
    """Extend the `beam_size` most probable hypotheses at every step.

    The search of a source ends when `beam_size` hypotheses are finished; at `max_len` unfinished
    ones fill the places that are left. It compares scores alone, as Hugging Face
    (`early_stopping=True`, `length_penalty=0`) and CTranslate2 (`length_penalty=0`) do: where all
    are finished, all three find the same hypotheses. At `max_len` the two others keep an unfinished
    one in place of a finished one with a lower score. The result is then ranked with the length
    penalty, unfinished hypotheses last.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        beam_size: Hypotheses per source, W; as many are returned.
        length_penalty: Alpha of Wu et al. (2016), equation 14: 0 ranks by score alone, larger
            values prefer longer hypotheses. It changes the ranks, not the scores.
        **limits: What may be generated; an engine knows `allow_unk` alone.
    """
    if isinstance(model, Engine):
        allow_unk = limits.get("allow_unk", False)
        found = model.search(src, width=beam_size, max_len=max_len, allow_unk=allow_unk)
    else:
        constraints = Constraints(vocab, **limits)
        found = beam_search(model, src, vocab, max_len, beam_size, constraints)

    def rank(hypothesis: Hypothesis) -> tuple[bool, float]:
        penalty = ((5 + len(hypothesis.ids) + 1) / 6) ** length_penalty  # EOS counts
        return hypothesis.finished, hypothesis.score / penalty

    return [sorted(hypotheses, key=rank, reverse=True) for hypotheses in found]


def beam_search(
    model: Model, src: Tensor, vocab: Vocab, max_len: int, width: int, constraints: Constraints
) -> list[list[Hypothesis]]:
    """Return `width` hypotheses of each source, finished ones first, then by score.

    Arguments as in `beam`.
    """
    cache = model.start(src, width=width, max_len=max_len)
    found: list[list[Hypothesis]] = [[] for _ in src]
    sources = list(range(len(src)))  # those whose search has not ended
    ids = src.new_full((len(src), width), vocab.bos_id)
    history = src.new_empty(len(src), width, 0)  # ids generated so far, [B, W, t]
    scores = torch.full((len(src), width), -math.inf, device=src.device)
    scores[:, 0] = 0.0  # at the start all hypotheses are equal: keep one
    followed = None
    if constraints.grammar is not None:
        followed = _Followed(constraints, constraints.grammar, len(src), width)
    for t in range(1, max_len + 1):
        logits, norms = constraints.mask(model.step(ids.flatten(), cache), history.flatten(0, 1))
        totals, parents, tokens = _continuations(logits, norms, scores)
        if followed is not None:
            while followed.refuse(logits, norms, totals, parents, tokens, max_len - t):
                totals, parents, tokens = _continuations(logits, norms, scores)
        is_eos = tokens == vocab.eos_id
        ends = is_eos if t < max_len else torch.ones_like(is_eos)
        for row, rank in (ends & totals.isfinite())[:, :width].nonzero().tolist():
            finished = bool(is_eos[row, rank])
            program = history[row, parents[row, rank]].tolist()
            program += [] if finished else [int(tokens[row, rank])]
            hypotheses = found[sources[row]]
            hypotheses.append(Hypothesis(program, totals[row, rank].item(), finished))
            hypotheses.sort(key=lambda h: (not h.finished, -h.score))
        open_rows = [row for row, source in enumerate(sources) if len(found[source]) < width]
        if not open_rows:
            break
        kept = is_eos.int().argsort(stable=True)[:, :width]  # the best unfinished ones, [B, W]
        scores, ids, parents = (x.gather(1, kept) for x in (totals, tokens, parents))
        history = history.gather(1, parents[..., None].expand_as(history))
        history = torch.cat([history, ids[..., None]], dim=-1)
        cache.reorder(parents)
        if followed is not None:
            followed.keep(parents, ids)
        if len(open_rows) < len(sources):
            rows = torch.tensor(open_rows, dtype=torch.long, device=src.device)
            sources = [sources[row] for row in open_rows]
            scores, ids, history = scores[rows], ids[rows], history[rows]
            if followed is not None:
                followed.select(open_rows)
            cache.select(rows)
    return [hypotheses[:width] for hypotheses in found]


def _continuations(logits: Tensor, norms: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best continuations of each source, best first.

    Args:
        logits: Of the hypotheses, `[B * W, V]`.
        norms: Their log-sum-exp, `[B * W, 1]`.
        scores: Of the hypotheses, `[B, W]`.

    Returns:
        Scores, parents and tokens of at most 2 W continuations, `[B, 2 W]`: enough even if W of
        them are EOS.
    """
    width = scores.shape[1]
    n_next = min(2 * width, logits.shape[1])
    best, tokens = topk(logits, n_next)  # [B * W, n_next]
    best = best - norms  # log-probabilities of these alone
    totals = (scores.view(-1, 1) + best).view(-1, width * n_next)
    totals, indices = totals.topk(min(2 * width, totals.shape[1]))
    parents = indices.div(n_next, rounding_mode="floor")
    return totals, parents, tokens.view(-1, width * n_next).gather(1, indices)


class _Followed:
    """The grammar's states of all hypotheses.

    Args:
        constraints: Of the search.
        grammar: Of the constraints.
        n_sources: B.
        width: W.
    """

    def __init__(
        self, constraints: Constraints, grammar: Grammar, n_sources: int, width: int
    ) -> None:
        self._constraints, self._grammar, self._width = constraints, grammar, width
        self._states = [[grammar.start] * width for _ in range(n_sources)]
        self._known: dict[tuple[int, int, int], State | None] = {}  # of continuations
        self._refused: Counter[tuple[int, int]] = Counter()  # of hypotheses

    def refuse(
        self,
        logits: Tensor,
        norms: Tensor,
        totals: Tensor,
        parents: Tensor,
        tokens: Tensor,
        room: int,
    ) -> bool:
        """Mask the logits of continuations that the grammar refuses.

        Args:
            logits: Of the hypotheses, `[B * W, V]`; changed in place.
            norms: Their log-sum-exp, `[B * W, 1]`.
            totals: Scores of the continuations, `[B, 2 W]`.
            parents: Their hypotheses.
            tokens: Their tokens.
            room: Tokens that may follow.

        Returns:
            Whether there was one.
        """
        any_refused = False
        for source, rank in totals.isfinite().nonzero().tolist():
            w, token = int(parents[source, rank]), int(tokens[source, rank])
            key = (source, w, token)
            if key not in self._known:
                self._known[key] = self._grammar.extend(self._states[source][w], token, room)
                if self._known[key] is None:
                    any_refused = True
                    row = source * self._width + w
                    self._constraints.refuse(logits[row], token, self._states[source][w], room)
                    self._refused[source, w] += 1
                    is_last = self._refused[source, w] == MOST_REFUSED
                    if is_last or not logits[row].isfinite().any():
                        forced = self._grammar.forced(self._states[source][w])
                        norm, allowed = norms[row].item(), self._allowed(source, w)
                        self._constraints.force(logits[row], forced, norm, allowed)
        return any_refused

    def _allowed(self, source: int, w: int) -> list[int]:
        """Return the tokens that may follow a hypothesis, of those that were checked."""
        return [
            token
            for (*place, token), state in self._known.items()
            if place == [source, w] and state is not None
        ]

    def keep(self, parents: Tensor, tokens: Tensor) -> None:
        """Take over the states of continuations, `[B, W]`; a masked one has the state before."""
        self._states = [
            [
                self._known.get((source, w, token)) or self._states[source][w]
                for w, token in zip(own_parents, own_tokens, strict=True)
            ]
            for source, (own_parents, own_tokens) in enumerate(
                zip(parents.tolist(), tokens.tolist(), strict=True)
            )
        ]
        self._known.clear()
        self._refused.clear()

    def select(self, rows: list[int]) -> None:
        """Keep these sources."""
        self._states = [self._states[row] for row in rows]
