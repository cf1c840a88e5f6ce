"""What training minimises: cross-entropy of the target tokens, plain, smoothed or weighted.

Every loss is made from the target vocabulary and called with hidden vectors, the projection to
logits and targets, at real target positions alone; it returns a scalar mean. Making the logits
here lets the CPU do it in pieces.

Shape letters: N real target positions of a batch, D d_model, V target vocabulary.
"""

import keyword
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from en2py.data.vocab import SPECIAL_TOKENS, Vocab

LAYOUT_TOKENS = frozenset({"<nl>", "<indent>", "<dedent>"})  # line structure as words
PIECE_ROWS = 128
LARGE = 2_000_000  # logits; fewer (8 MB) stay in the processor's cache without our help


class CrossEntropy(nn.Module):
    """Mean negative log-probability of the targets.

    Args:
        vocab: The target vocabulary.
        label_smoothing: Share of each target spread over all tokens (Szegedy et al., 2016).
    """

    def __init__(self, vocab: Vocab, *, label_smoothing: float) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing ({label_smoothing}) is not in [0, 1)")
        self.label_smoothing = label_smoothing

    def forward(self, hidden: Tensor, projection: nn.Linear, targets: Tensor) -> Tensor:
        """Return the mean over targets `[N]`, given hidden vectors `[N, D]`."""
        return linear_cross_entropy(hidden, projection, targets, None, self.label_smoothing)


class KeywordWeightedCrossEntropy(nn.Module):
    """Cross-entropy in which some tokens count more; the mean divides by the weights.

    A token of several kinds takes the first weight of keyword, frequent, other.

    Args:
        vocab: The target vocabulary.
        keyword_weight: For Python's keywords and for tokens with a line break (documented
            experiment: 3).
        frequent_weight: For the most frequent tokens (2).
        n_frequent: How many tokens are most frequent (47: its code names ids 4 to 50).
        other_weight: For the rest and for the special tokens (1).
        label_smoothing: Share of each target spread over all tokens, by their weights.
    """

    def __init__(
        self,
        vocab: Vocab,
        *,
        keyword_weight: float,
        frequent_weight: float,
        n_frequent: int,
        other_weight: float,
        label_smoothing: float,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing ({label_smoothing}) is not in [0, 1)")
        for name, weight in (
            ("keyword_weight", keyword_weight),
            ("frequent_weight", frequent_weight),
            ("other_weight", other_weight),
        ):
            if weight <= 0:
                raise ValueError(f"{name} ({weight}) is not above 0")
        self.label_smoothing = label_smoothing
        n_special = len(SPECIAL_TOKENS)
        ordinary = range(n_special, len(vocab))
        weights = torch.full((len(vocab),), float(other_weight))
        by_frequency = sorted(ordinary, key=lambda i: -vocab.counts[i])  # stable: ties by id
        weights[by_frequency[:n_frequent]] = frequent_weight
        weights[[i for i in ordinary if shapes_program(vocab.tokens[i])]] = keyword_weight
        self.weights: Tensor
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, hidden: Tensor, projection: nn.Linear, targets: Tensor) -> Tensor:
        """Return the weighted mean over targets `[N]`, given hidden vectors `[N, D]`."""
        return linear_cross_entropy(hidden, projection, targets, self.weights, self.label_smoothing)


def divisor(loss: nn.Module, targets: Tensor) -> Tensor:
    """Return what the mean of a loss over targets `[N]` divides by: their number, or weight."""
    weights: Tensor | None = getattr(loss, "weights", None)
    return torch.tensor(float(len(targets))) if weights is None else weights[targets].sum()


def shapes_program(token: str) -> bool:
    """Say whether a token of any tokenizer is a keyword of Python or holds a line break."""
    spelled = token.replace("Ġ", " ").replace("Ċ", "\n")  # how byte-level BPE writes them
    return token in LAYOUT_TOKENS or "\n" in spelled or spelled.strip(" ") in keyword.kwlist


def linear_cross_entropy(
    hidden: Tensor,
    projection: nn.Linear,
    targets: Tensor,
    weights: Tensor | None,
    label_smoothing: float,
) -> Tensor:
    """Return the mean cross-entropy of `projection(hidden)`, as `F.cross_entropy` defines it.

    On CPU many logits are made and used up in pieces that fit the cache: a quarter faster at 8,000
    tokens. torch's own `F.linear_cross_entropy` gains nothing there and knows no smoothing in
    pieces.

    Args:
        hidden: Hidden vectors, `[N, D]`.
        projection: To logits, `[N, V]`; has a bias. In evaluation `nn.Identity` does for logits.
        targets: Token ids, `[N]`.
        weights: Weight of each token, `[V]`.
        label_smoothing: Share of each target spread over all tokens.
    """
    if torch.is_grad_enabled() and hidden.device.type == "cpu":
        matrix, bias = projection.weight, projection.bias
        if len(hidden) * len(matrix) > LARGE:
            in_pieces: Tensor = _InPieces.apply(  # type: ignore[no-untyped-call]
                hidden, matrix, bias, targets, weights, label_smoothing
            )
            return in_pieces
    logits = projection(hidden).float()
    return F.cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing)


class _InPieces(torch.autograd.Function):
    """Linear map and cross-entropy, a few rows at a time, gradients made on the way forward.

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
        share = label_smoothing / n_tokens * weights  # [V], what each token gets of any target
        own = (1 - label_smoothing) * weights[targets, None]  # [N, 1], what the target itself gets
        total = weights[targets].sum()
        loss = torch.zeros((), dtype=exact)
        n_real, spare = len(rows), -len(rows) % PIECE_ROWS  # products in bf16 like equal shapes
        rows, own = (F.pad(part, (0, 0, 0, spare)) for part in (rows, own))
        targets = F.pad(targets, (0, spare))
        d_rows, d_table = torch.empty_like(rows), torch.zeros_like(matrix, dtype=exact)
        d_bias = torch.zeros_like(bias, dtype=exact)
        with torch.autocast("cpu", enabled=False):
            for start in range(0, len(rows), PIECE_ROWS):
                here = slice(start, start + PIECE_ROWS)
                target, mass = targets[here, None], own[here] / total  # [PIECE_ROWS, 1] each
                logits = F.linear(rows[here], table, shift)  # [PIECE_ROWS, V]
                d_logits = logits.log_softmax(-1, dtype=exact)
                loss -= (d_logits.gather(1, target) * mass).sum()
                if label_smoothing:
                    loss -= (d_logits[: n_real - start] @ share).sum() / total
                # By the logits: softmax times all that a row's targets weigh, less each target.
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
