"""Greedy search, and the token loop that it shares with sampling."""

from collections.abc import Callable
from typing import Any, Unpack

import torch
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.constraints import MOST_REFUSED, Constraints, Limits
from en2py.decoding.grammar import State
from en2py.decoding.hypothesis import Engine, Hypothesis, Model
from en2py.ranges import Length

Choose = Callable[[Tensor, Tensor, int, int], Tensor]


@torch.inference_mode()
def greedy(
    model: Model | Engine,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: Length,
    **limits: Unpack[Limits],
) -> list[list[Hypothesis]]:
    """Generate the most probable token at every step.

    Args:
        model: In eval mode; or an engine.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        **limits: What may be generated; an engine knows `allow_unk` alone.
    """
    if isinstance(model, Engine):
        return model.search(src, width=1, max_len=max_len, allow_unk=limits.get("allow_unk", False))

    def argmax(logits: Tensor, rows: Tensor, t: int, attempt: int) -> Tensor:
        return logits.argmax(-1)

    cache = model.start(src, max_len=max_len)
    rows = torch.arange(len(src), device=src.device)
    hypotheses = generate(model, cache, rows, vocab, max_len, Constraints(vocab, **limits), argmax)
    return [[hypothesis] for hypothesis in hypotheses]


def generate(
    model: Model,
    cache: Any,
    rows: Tensor,
    vocab: Vocab,
    max_len: int,
    constraints: Constraints,
    choose: Choose,
) -> list[Hypothesis]:
    """Generate one hypothesis per row of the cache, token by token.

    Args:
        model: In eval mode.
        cache: Cache of the model.
        rows: Indices of the cache's rows, `[R]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        constraints: What may be generated.
        choose: Maps logits `[R, V]`, the rows that are not finished `[R]`, the step, and the number
            of tokens refused in this step to ids `[R]`.
    """
    ids = torch.full_like(rows, vocab.bos_id)
    tokens = ids.new_full((len(rows), max_len), vocab.pad_id)
    scores = torch.zeros(len(rows), device=ids.device)
    states = [] if constraints.grammar is None else [constraints.grammar.start] * len(rows)
    for t in range(max_len):
        logits, norms = constraints.mask(model.step(ids, cache), tokens[rows, :t])  # [R, V]
        ids = choose(logits, rows, t, 0)  # [R]
        if constraints.grammar is not None:
            _follow_grammar(constraints, states, logits, norms, rows, ids, t, max_len, choose)
        tokens[rows, t] = ids
        scores[rows] += (logits.gather(1, ids[:, None]) - norms).squeeze(1)
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


def _follow_grammar(
    constraints: Constraints,
    states: list[State],
    logits: Tensor,
    norms: Tensor,
    rows: Tensor,
    ids: Tensor,
    t: int,
    max_len: int,
    choose: Choose,
) -> None:
    """In place: replace the ids that the grammar refuses by the next choices; update the states.

    Refused tokens are masked, so that a draw is from the distribution over the allowed ones.

    Args:
        constraints: With a grammar.
        states: State of each program, by row of the cache; those of `rows` are changed.
        logits: Of this step, `[R, V]`; changed in each row whose token is refused.
        norms: Their log-sum-exp before, `[R, 1]`.
        rows: Indices of the programs that are not finished, `[R]`.
        ids: The tokens chosen, `[R]`; refused ones are changed.
        t: The step.
        max_len: Most steps.
        choose: See `generate`.
    """
    grammar: Any = constraints.grammar
    room = max_len - t - 1
    for place, (row, chosen) in enumerate(zip(rows.tolist(), ids.tolist(), strict=True)):
        attempt, token_id = 0, chosen
        while (state := grammar.extend(states[row], token_id, room)) is None:
            assert states[row].closing[:1] != (token_id,), f"a closing is refused: {states[row]}"
            attempt += 1
            constraints.refuse(logits[place], token_id, states[row], room)
            if attempt == MOST_REFUSED or not logits[place].isfinite().any():
                token_id = grammar.forced(states[row])
                constraints.force(logits[place], token_id, norms[place].item())
            else:
                last = slice(place, place + 1)
                token_id = int(choose(logits[last], rows[last], t, attempt))
        states[row], ids[place] = state, token_id
