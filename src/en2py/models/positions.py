"""Positional encodings: sinusoids (Vaswani et al., 2017, section 3.5) and rotary (Su et al., 2021).

Shape letters as in `transformer.py`: B batch, H heads, T length, K size of a head, D d_model.
"""

from typing import Literal

import torch
from torch import Tensor

Positions = Literal["learned", "sinusoidal", "rotary"]


def angles(max_len: int, width: int) -> Tensor:
    """Return position / 10000^(2i / width), `[max_len, width / 2]`, of section 3.5."""
    rates = 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.arange(max_len)[:, None] * rates


def sinusoids(max_len: int, d_model: int) -> Tensor:
    """Return the fixed positions of section 3.5, `[max_len, D]`: sines in the even columns."""
    x = angles(max_len, d_model)
    return torch.stack([x.sin(), x.cos()], dim=-1).flatten(1)[:, :d_model]


def apply_rotary(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotate pairs of columns of `[B, H, T, K]` by their position (Su et al., 2021, equation 34).

    The product of a rotated query and a rotated key depends on their distance alone.
    """
    cos, sin = rotary.to(x.dtype)  # [T, K / 2]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
