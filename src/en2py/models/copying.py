"""Copying from the source: the pointer-generator of See et al. (2017), "Get To The Point".

p(token) = g p_generate(token) + (1 - g) sum of the attention weights of the source positions that
hold the token, equation 9. The ids of both sides must mean the same tokens. The attention is one
of the final hidden states to the keys of the last decoder layer, averaged over its heads, so
incremental decoding has all it needs in its cache.

Shape letters as in `transformer.py`: B batch, S source length, T target length, D d_model, H heads,
K size of a head, V target vocabulary; N rows of hidden states.
"""

import torch
from torch import Tensor, nn

from en2py.models.cpu_kernels import attention_weights
from en2py.models.packing import PADDED, Layout


class CopyProjection(nn.Linear):
    """Map the rows of `with_source` to the logarithm of p(token), which are logits too.

    Args:
        d_model: Width of the model.
        n_tgt: Size of the vocabulary.
    """

    def __init__(self, d_model: int, n_tgt: int) -> None:
        super().__init__(d_model, n_tgt)
        self.query = nn.Linear(d_model, d_model)
        self.gate = nn.Linear(d_model, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Map `[N, D + 2 S]` to log-probabilities `[N, V]`."""
        n = (rows.shape[-1] - self.in_features) // 2
        hidden, weights, ids = torch.split(rows, [self.in_features, n, n], dim=-1)
        generated = super().forward(hidden).softmax(-1, dtype=rows.dtype)
        g = self.gate(hidden).to(rows.dtype).sigmoid()  # [N, 1]
        mixed: Tensor = (g * generated).scatter_add(-1, ids.long(), (1 - g) * weights)
        return mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()


def with_source(
    projection: nn.Module,
    hidden: Tensor,
    memory_kv: list[list[Tensor]],
    src: Tensor,
    mask: Tensor | None,
    layout: Layout = PADDED,
) -> Tensor:
    """Return the rows that a projection maps to logits.

    Args:
        projection: Of hidden states, or a `CopyProjection`.
        hidden: Hidden states, `[B, T, D]`.
        memory_kv: Keys and values of each decoder layer, `[B, H, S, K]`.
        src: Source ids, `[B, S]`.
        mask: Real source positions, `[B, 1, 1, S]`.
        layout: Arrangement of the hidden states.

    Returns:
        The hidden states; for copies with attention weights and ids of the source behind, `[B, T,
        D + 2 S]`.
    """
    if not isinstance(projection, CopyProjection):
        return hidden
    keys = memory_kv[-1][0]
    q = layout.pad(projection.query(hidden))
    q = q.view(*q.shape[:2], keys.shape[1], -1).transpose(1, 2)  # [B, H, T, K]
    weights = attention_weights(q, keys, mask, is_causal=False).mean(1)  # [B, T, S]
    ids = src[:, None].expand_as(weights)
    exact = torch.promote_types(hidden.dtype, torch.float32)  # represents all ids
    rows = (hidden, layout.pack(weights), layout.pack(ids))
    return torch.cat([part.to(exact) for part in rows], dim=-1)
