"""Attention maps: the weights that every attention of a model computes in a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from en2py.models.cpu_kernels import attention_weights
from en2py.models.transformer import Attention, Transformer


@contextmanager
def recorded(model: Transformer) -> Iterator[dict[str, list[Tensor]]]:
    """Record the attention weights of each forward pass; use it in eval mode.

    Yields:
        Per kind the weights of each layer: `encoder` `[B, H, S, S]`, `decoder` `[B, H, T, T]` and
        `cross` `[B, H, T, S]`.
    """
    encoder: Any = model.encoder
    decoder: Any = model.decoder
    attentions: dict[str, list[Attention]] = {
        "encoder": [layer.self_attention for layer in encoder],
        "decoder": [layer.self_attention for layer in decoder],
        "cross": [layer.cross_attention for layer in decoder],
    }
    maps: dict[str, list[Tensor]] = {kind: [] for kind in attentions}

    def recording(weights_of_kind: list[Tensor]) -> Any:
        def attend(
            q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, is_causal: bool = False
        ) -> Tensor:
            weights = attention_weights(q, k, mask, is_causal)
            weights_of_kind.append(weights)
            return weights @ v

        return attend

    for kind, layers in attentions.items():
        for attention in layers:
            attention.attend = recording(maps[kind])  # type: ignore[method-assign]
    try:
        yield maps
    finally:
        for layers in attentions.values():
            for attention in layers:
                del attention.attend  # the method of the class again


@torch.no_grad()
def attention_maps(model: Transformer, src: Tensor, tgt_in: Tensor) -> dict[str, Tensor]:
    """Return the weights of a forward pass, stacked over layers, `[L, B, H, rows, columns]`."""
    with recorded(model) as maps:
        model(src, tgt_in)
    return {kind: torch.stack(weights) for kind, weights in maps.items()}
