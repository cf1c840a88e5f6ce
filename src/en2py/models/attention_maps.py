"""Attention maps of a model."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights: encoder `[L,B,H,S,S]`, decoder `[L,B,H,T,T]`, cross `[L,B,H,T,S]`."""

    encoder: Tensor
    decoder: Tensor
    cross: Tensor
