"""Incremental decoding with a key-value cache.

Shape letters: B sources, S source length, W hypotheses per source, D d_model, H heads, K size of a
head, V target vocabulary.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from en2py.models.copying import with_source
from en2py.models.cpu_kernels import prepack_linear
from en2py.models.transformer import QUERIES, DecoderLayer, Side, Transformer


class KeyValueCache:
    """Keys and values of B sources with W hypotheses each.

    The hypotheses of a source share one store: slot `t * W + w` holds position t of hypothesis w,
    and `path` marks the slots that belong to each. So a hypothesis that continues another one
    (beam search) copies a row of booleans, and no keys or values.

    Args:
        memory_kv: Keys and values of the memory for each decoder layer, `[B, H, S, K]`.
        src: Source ids, `[B, S]`.
        src_mask: Real source positions, `[B, 1, 1, S]`.
        projection: Maps hidden states to logits.
        width: Hypotheses per source, W.
        max_len: Most tokens of a hypothesis.
    """

    def __init__(
        self,
        memory_kv: list[list[Tensor]],
        src: Tensor,
        src_mask: Tensor,
        projection: Callable[[Tensor], Tensor],
        width: int,
        max_len: int,
    ) -> None:
        self.memory_kv, self.projection = memory_kv, projection
        self.src, self.src_mask = src, src_mask
        n_src, n_heads, _, d_head = memory_kv[0][0].shape
        slots = max_len * width
        self.kv = [[x.new_empty(n_src, n_heads, slots, d_head) for x in kv] for kv in memory_kv]
        self.path = src_mask.new_zeros(n_src, 1, width, slots)
        self.width = width
        self.length = 0  # tokens read so far

    def advance(self) -> None:
        """Reserve the slots of one more token; each belongs to its own hypothesis."""
        diagonal = torch.eye(self.width, dtype=torch.bool, device=self.path.device)
        self.path[..., self.length * self.width :][..., : self.width] = diagonal
        self.length += 1

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store the newest keys and values `[B, H, W, K]`; return all of them and their mask."""
        end = self.length * self.width
        keys, values = (store[:, :, :end] for store in self.kv[layer])
        keys[:, :, -self.width :], values[:, :, -self.width :] = k, v
        return keys, values, None if self.width == 1 else self.path[..., :end]

    def reorder(self, parents: Tensor) -> None:
        """Let each hypothesis continue one of its source's hypotheses, `parents` `[B, W]`."""
        self.path = self.path.gather(2, parents[:, None, :, None].expand_as(self.path))

    def select(self, rows: Tensor) -> None:
        """Keep these sources in this order, `rows` `[B']`; a repeated one is duplicated."""
        end = self.length * self.width
        self.memory_kv = [[x.index_select(0, rows) for x in kv] for kv in self.memory_kv]
        for kv in self.kv:
            for i, old in enumerate(kv):
                kv[i] = old.new_empty(len(rows), *old.shape[1:])
                kv[i][:, :, :end] = old[:, :, :end].index_select(0, rows)
        self.src, self.src_mask, self.path = self.src[rows], self.src_mask[rows], self.path[rows]


class IncrementalDecoder:
    """Compute the next logits of many hypotheses, one token at a time.

    Args:
        model: The Transformer, in eval mode.
    """

    def __init__(self, model: Transformer) -> None:
        self.model = model

    def start(self, src: Tensor, width: int = 1, max_len: int | None = None) -> KeyValueCache:
        """Encode sources `[B, S]`; return a cache for `width` hypotheses of `max_len` tokens."""
        model = self.model
        limit = model.tgt_embedding.max_len
        if max_len is not None and max_len > limit:
            raise ValueError(f"max_len ({max_len}) is more than the model's {limit} positions")
        side = model.src_side(src)
        memory_kv = model.memory_kv(model.encode(src, side), side)
        contiguous = [[x.contiguous() for x in kv] for kv in memory_kv]
        projection = prepack_linear(model.projection, len(src) * width)
        mask = model.src_mask(src)
        return KeyValueCache(contiguous, src, mask, projection, width, max_len or limit)

    def step(self, ids: Tensor, cache: KeyValueCache) -> Tensor:
        """Map each hypothesis's newest token, `[B * W]`, to logits of its next, `[B * W, V]`."""
        embedding = self.model.tgt_embedding
        layers: Iterable[Any] = self.model.decoder
        x = embedding(ids[:, None], start=cache.length)  # [B * W, 1, D]
        x = x.view(-1, cache.width, x.shape[-1])  # [B, W, D]
        tgt = Side(rotary=embedding.rotary_at(cache.length, 1))  # all are at the same position
        cache.advance()
        for i, layer in enumerate(layers):
            x = _decode_step(layer, i, x, tgt, cache)
        hidden = self.model.decoder_norm(x)
        kv, src, mask = cache.memory_kv, cache.src, cache.src_mask
        rows = with_source(self.model.projection, hidden, kv, src, mask)
        return cache.projection(rows.flatten(0, 1))


def _decode_step(layer: DecoderLayer, i: int, x: Tensor, tgt: Side, cache: KeyValueCache) -> Tensor:
    """Apply decoder layer `i` to the newest tokens `[B, W, D]`; see `DecoderLayer.forward`."""

    def attend_to_target(y: Tensor) -> Tensor:
        q, k, v = layer.self_attention.project(y, tgt)
        keys, values, mask = cache.update(i, k, v)
        return layer.self_attention.mix([q, keys, values], tgt, mask)

    def attend_to_source(y: Tensor) -> Tensor:
        q = layer.cross_attention.project(y, tgt, QUERIES)
        return layer.cross_attention.mix(q + cache.memory_kv[i], tgt, cache.src_mask)

    x = layer.residuals[0](x, attend_to_target)
    x = layer.residuals[1](x, attend_to_source)
    out: Tensor = layer.residuals[2](x, layer.feed_forward)
    return out
