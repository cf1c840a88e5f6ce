"""Sampling with temperature, top-k and top-p."""

import hashlib
from typing import Unpack

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from en2py.data.vocab import Vocab
from en2py.decoding.constraints import Constraints, Limits
from en2py.decoding.greedy import generate
from en2py.decoding.hypothesis import Hypothesis, Model
from en2py.ranges import Length, PositiveFraction, Seed


class Draws(Limits):
    """The arguments of `sample` for a search that calls it."""

    temperature: PositiveFloat
    top_k: PositiveInt | None
    top_p: PositiveFraction | None
    seed: Seed


@torch.inference_mode()
def sample(
    model: Model,
    src: Tensor,
    vocab: Vocab,
    *,
    max_len: Length,
    n_samples: PositiveInt,
    temperature: PositiveFloat,
    top_k: PositiveInt | None,
    top_p: PositiveFraction | None,
    seed: Seed,
    **limits: Unpack[Limits],
) -> list[list[Hypothesis]]:
    """Draw programs by their probability.

    The draws depend on the seed, the source's ids and the index of the sample, so a source gets
    the same samples in any batch, apart from rounding.

    Args:
        model: In eval mode.
        src: Source ids, `[B, S]`.
        vocab: The target vocabulary.
        max_len: Most steps, in tokens with EOS.
        n_samples: Hypotheses per source.
        temperature: Divides the logits; below 1 sharpens the distribution.
        top_k: Draw from the k most probable tokens alone.
        top_p: Draw from the fewest tokens whose probabilities sum to this (Holtzman et al., 2020),
            after `top_k`.
        seed: Seed of the draws.
        **limits: What may be generated.
    """
    keys = [
        f"{seed}/{k}/{[i for i in ids if i != vocab.pad_id]}"
        for ids in src.tolist()
        for k in range(n_samples)
    ]
    noise = torch.stack([_uniform(key, max_len) for key in keys]).to(src.device)  # [rows, max_len]
    constraints = Constraints(vocab, **limits)

    def draw(logits: Tensor, rows: Tensor, t: int, attempt: int) -> Tensor:
        number = noise[rows, t, None]
        if attempt:  # after a token that the grammar refused, of a single row
            number = _uniform(f"{keys[int(rows)]}/{t}/{attempt}", 1)[None].to(src.device)
        probs = (logits / temperature).softmax(-1)
        order = None
        if top_k is not None or top_p is not None:
            probs, order = probs.topk(min(top_k or probs.shape[-1], probs.shape[-1]))  # sorted
        if top_p is not None:
            probs = probs / probs.sum(-1, keepdim=True)
            probs[probs.cumsum(-1) - probs >= top_p] = 0.0  # the most probable token stays
        sums = probs.cumsum(-1)
        drawn = torch.searchsorted(sums, number * sums[:, -1:], right=True)
        # Rounding must not select a token of probability 0.
        drawn = drawn.minimum((probs > 0).long().cumsum(-1).argmax(-1, keepdim=True))
        return (drawn if order is None else order.gather(-1, drawn)).squeeze(-1)

    cache = model.start(src, max_len=max_len)
    rows = torch.arange(len(noise), device=src.device)
    cache.select(rows // n_samples)
    hypotheses = generate(model, cache, rows, vocab, max_len, constraints, draw)
    return [
        sorted(hypotheses[i : i + n_samples], key=lambda h: (h.finished, h.score), reverse=True)
        for i in range(0, len(hypotheses), n_samples)
    ]


def _uniform(key: str, n: int) -> Tensor:
    """Return n numbers in [0, 1) that depend on the key alone."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.rand(n, generator=torch.Generator().manual_seed(int.from_bytes(digest) >> 1))
