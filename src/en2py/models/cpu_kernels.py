"""Fast CPU kernels: dropout, attention in bf16, linear layers, cross-entropy of a projection."""

import math
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# oneDNN keeps the code of each shape of a product, and so does torch: 1,024 by default, 0.7 GB in a
# run in bf16. A step needs about 40. Both read the variable at their first product.
for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "128")

PIECE_ROWS = 128  # of logits computed at a time
MANY_LOGITS = 2_000_000  # fewer (8 MB) stay in the processor's cache without pieces


def multiplies_bf16_fast(device: torch.device) -> bool:
    """Return whether the hardware has products of two bf16 numbers, twice as fast as in fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    get = getattr(torch.cpu, "get_capabilities", None)  # missing in torch 2.10
    capabilities: dict[str, Any] = get() if get and device.type == "cpu" else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


class Dropout(nn.Module):
    """Dropout of section 5.4; on CPU 2.5 times as fast as `nn.Dropout`.

    On CPU one random number of 64 bits decides about four entries, so `p` is rounded to a multiple
    of 2^-16.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout ({p}) is not in [0, 1)")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with a share of `p` zeros, scaled to keep its mean."""
        n_dropped = min(round(self.p * 2**16), 2**16 - 1)  # of the 2^16 values that 16 bits have
        if not self.training or n_dropped == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        numbers = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.int16)[: x.numel()].view(x.shape) >= n_dropped - 2**15
        return x * kept.to(x.dtype).mul_(1 / (1 - n_dropped / 2**16))


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """Return softmax(q k^T / sqrt(K)) of equation 1, `[B, H, T, S]`.

    Args:
        q: Queries, `[B, H, T, K]`.
        k: Keys, `[B, H, S, K]`.
        mask: True where attention may go, broadcast to `[B, H, T, S]`.
        is_causal: In place of a mask: position t attends to positions up to t.
    """
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # [B, H, T, S]
    if is_causal:
        mask = q.new_ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, is_causal: bool
) -> Tensor:
    """Return softmax(q k^T / sqrt(K)) v, equation 1, `[B, H, T, K]`.

    The gradients of torch's CPU kernel in bf16 take five times as long as those of plain products.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        return F.dropout(attention_weights(q, k, mask, is_causal), dropout) @ v
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)


def prepack_linear(linear: nn.Linear, n_rows: int) -> Callable[[Tensor], Tensor]:
    """Return a linear map whose weights are stored in oneDNN's layout, for repeated products.

    For 1 to 128 rows and a vocabulary of 8,449 on CPU in float32 a product takes a quarter to seven
    tenths of the time. The operators are torch's but not public: without them `linear` is returned.

    Args:
        linear: Its weights must not change while the result is in use.
        n_rows: Approximate number of rows of a product; fewer than four use the layout for four.
    """
    weight, bias = linear.weight.detach(), linear.bias.detach()
    if type(linear) is not nn.Linear:
        return linear
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return linear
    try:
        prepacked = torch.ops.mkldnn._reorder_linear_weight(weight, max(n_rows, 4))
        product = torch.ops.mkldnn._linear_pointwise
    except (AttributeError, NotImplementedError, RuntimeError):
        return linear
    return lambda x: product(x.contiguous(), prepacked, bias, "none", [], "")


def linear_cross_entropy(
    hidden: Tensor,
    projection: nn.Module,
    targets: Tensor,
    weights: Tensor | None,
    label_smoothing: float,
) -> Tensor:
    """Return the mean cross-entropy of `projection(hidden)`, as `F.cross_entropy` defines it.

    On CPU, many logits are computed in pieces that fit the cache, a quarter faster at 8,000 tokens.
    torch's own `F.linear_cross_entropy` is no faster there and has no label smoothing in pieces.

    Args:
        hidden: Hidden states, `[N, D]`.
        projection: To logits, `[N, V]`; a plain linear layer has a bias. The identity where
            `hidden` holds logits.
        targets: Token ids, `[N]`.
        weights: Weight of each token, `[V]`.
        label_smoothing: Share of each target spread over all tokens.
    """
    if torch.is_grad_enabled() and hidden.device.type == "cpu":
        if type(projection) is not nn.Linear:
            return _recomputed(hidden, projection, targets, weights, label_smoothing)
        matrix, bias = projection.weight, projection.bias
        if len(hidden) * len(matrix) > MANY_LOGITS:
            in_pieces: Tensor = _InPieces.apply(  # type: ignore[no-untyped-call]
                hidden, matrix, bias, targets, weights, label_smoothing
            )
            return in_pieces
    logits = projection(hidden).float()
    return F.cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing)


def _recomputed(
    hidden: Tensor,
    projection: nn.Module,
    targets: Tensor,
    weights: Tensor | None,
    label_smoothing: float,
) -> Tensor:
    """Return the cross-entropy of any projection, whose pieces the backward pass computes again."""

    def summed(rows: Tensor, ids: Tensor) -> Tensor:
        logits = projection(rows).float()
        return F.cross_entropy(
            logits, ids, weight=weights, label_smoothing=label_smoothing, reduction="sum"
        )

    pieces = zip(*(torch.split(part, PIECE_ROWS) for part in (hidden, targets)), strict=True)
    parts = [checkpoint(summed, *piece, use_reentrant=False) for piece in pieces]
    return torch.stack(parts).sum() / (len(targets) if weights is None else weights[targets].sum())


class _InPieces(torch.autograd.Function):
    """Linear map and cross-entropy, a few rows at a time; the forward pass computes the gradients.

    Products run in the precision of autocast, the softmax and all sums in at least float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        matrix: Tensor,
        bias: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        label_smoothing: float,
    ) -> Tensor:
        n_tokens, exact = len(matrix), torch.promote_types(matrix.dtype, torch.float32)
        fast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else matrix.dtype
        rows, table, shift = hidden.to(fast), matrix.to(fast), bias.to(fast)
        if weights is None:
            weights = torch.ones(n_tokens, dtype=exact)
        weights = weights.to(exact)
        share = label_smoothing / n_tokens * weights  # [V], smoothed mass of each token
        target_mass = (1 - label_smoothing) * weights[targets, None]  # [N, 1]
        total = weights[targets].sum()
        loss = torch.zeros((), dtype=exact)
        # Padding rows make all pieces equal: oneDNN compiles a bf16 product for each shape.
        n_real, n_padding = len(rows), -len(rows) % PIECE_ROWS
        rows, target_mass = (F.pad(part, (0, 0, 0, n_padding)) for part in (rows, target_mass))
        targets = F.pad(targets, (0, n_padding))
        d_rows, d_table = torch.empty_like(rows), torch.zeros_like(matrix, dtype=exact)
        d_bias = torch.zeros_like(bias, dtype=exact)
        with torch.autocast("cpu", enabled=False):
            for start in range(0, len(rows), PIECE_ROWS):
                here = slice(start, start + PIECE_ROWS)
                target = targets[here, None]  # [PIECE_ROWS, 1]
                mass = target_mass[here] / total  # [PIECE_ROWS, 1]
                logits = F.linear(rows[here], table, shift)  # [PIECE_ROWS, V]
                d_logits = logits.log_softmax(-1, dtype=exact)
                loss -= (d_logits.gather(1, target) * mass).sum()
                if label_smoothing:
                    loss -= (d_logits[: n_real - start] @ share).sum() / total
                # Gradient of the logits: softmax times the total mass of a row, less each mass.
                d_logits.exp_().mul_(mass + share.sum() / total)
                d_logits.scatter_add_(1, target, -mass)
                if label_smoothing:
                    d_logits -= share / total
                d_logits[n_real - start :] = 0
                d_bias += d_logits.sum(0)
                d_logits = d_logits.to(fast)
                d_rows[here] = d_logits @ table
                d_table += d_logits.T @ rows[here]
        grads = (d_rows[:n_real].to(hidden.dtype), d_table.to(matrix.dtype), d_bias.to(bias.dtype))
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (scale,) = grads
        d_hidden, d_matrix, d_bias = ctx.saved_tensors
        return d_hidden * scale, d_matrix * scale, d_bias * scale, None, None, None
