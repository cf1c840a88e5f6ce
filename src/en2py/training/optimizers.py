"""Muon, an optimizer for the weight matrices inside the layers.

Shape letters: G matrices of one shape, R rows, C columns.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from en2py.models.cpu_kernels import multiplies_bf16_fast

# Of Jordan et al. (2024): small singular values grow fastest, all tend to 0.7 to 1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_OUTSIDE = ("embedding", "projection")  # tables, whose rows are learned one by one: AdamW


class Muon(Optimizer):
    """Muon (Jordan et al., 2024) for the matrices inside the layers, AdamW for all else.

    Muon moves a matrix along its momentum with all singular values made about equal, so that
    directions with small gradients are learned too. The movement is scaled by
    0.2 sqrt(max(R, C)), which gives it the root mean square of one of AdamW: both share a learning
    rate and a weight decay (Liu et al., 2025, equation 4). `torch.optim.Muon` takes matrices alone,
    moves stacked queries, keys and values as one, and uses bf16 where a CPU only emulates it.

    Args:
        named_parameters: Those of a module, with their names.
        lr: Learning rate.
        momentum: Of Muon, with Nesterov's look-ahead.
        iterations: Of Newton and Schulz; more bring the singular values nearer to each other.
        betas: Of AdamW.
        eps: Of AdamW.
        weight_decay: Decoupled, times the learning rate.
        fused: AdamW in one kernel.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        lr: float,
        momentum: float,
        iterations: PositiveInt,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        fused: bool = True,
    ) -> None:
        matrices: list[tuple[str, nn.Parameter]] = []
        others: list[tuple[str, nn.Parameter]] = []
        for name, parameter in named_parameters:
            inside = parameter.ndim == 2 and not any(part in name for part in _OUTSIDE)
            (matrices if inside else others).append((name, parameter))
        self._adamw = AdamW(
            others, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused
        )
        group = {"params": matrices, "momentum": momentum, "iterations": iterations}
        defaults = {"lr": lr, "weight_decay": weight_decay}
        super().__init__([*self._adamw.param_groups, group], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; return the result of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Loading a state replaces both, and a schedule changes the groups of this optimizer.
        self._adamw.param_groups, self._adamw.state = self.param_groups[:1], self.state
        self._adamw.step()
        self._move_matrices(self.param_groups[1])
        return loss

    def _move_matrices(self, group: dict[str, Any]) -> None:
        by_shape = defaultdict(list)
        for name, weight in zip(group["param_names"], group["params"], strict=True):
            if weight.grad is None:  # frozen, or the update is skipped
                continue
            momentum = self._momentum(weight, weight.grad, group["momentum"])
            n_maps = 3 if name.endswith("qkv.weight") else 1  # queries, keys and values
            for pair in zip(weight.chunk(n_maps), momentum.chunk(n_maps), strict=True):
                by_shape[pair[0].shape].append(pair)
        for shape, pairs in by_shape.items():
            weights, momenta = zip(*pairs, strict=True)
            movements = orthogonalized(torch.stack(momenta), group["iterations"]).unbind()
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(weights, movements, alpha=group["lr"] * 0.2 * max(shape) ** 0.5)

    def _momentum(self, weight: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Update the mean gradient of a weight; return it after a further step of Nesterov."""
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        average: Tensor = state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)


def orthogonalized(matrices: Tensor, iterations: int) -> Tensor:
    """Return matrices `[G, R, C]` with singular values of about 1, by Newton and Schulz.

    Each iteration is a polynomial in the singular values, so no decomposition is needed. A matrix
    of zeros stays one.
    """
    a, b, c = _COEFFICIENTS
    x = matrices.bfloat16() if multiplies_bf16_fast(matrices.device) else matrices
    is_tall = x.shape[1] > x.shape[2]
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)
