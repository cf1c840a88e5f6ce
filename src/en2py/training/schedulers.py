"""Learning rate schedules, stepped once per update.

The learning rate of the optimizer is the maximum of a schedule (`noam` computes its own). `warmup`
is a share of all steps, so it fits runs of any length. The state of a schedule is the number of
steps: a run that is resumed with another length follows the curve of the new length. The ranges of
the arguments are checked with the config.
"""

import math
from collections.abc import Callable

from pydantic import PositiveFloat, PositiveInt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from en2py.ranges import Fraction


def constant(optimizer: Optimizer, *, total_steps: int, warmup: Fraction) -> LRScheduler:
    """Increase linearly, then stay constant."""
    rise = _rise(warmup, total_steps)
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / rise))


def cosine(
    optimizer: Optimizer, *, total_steps: int, warmup: Fraction, final: Fraction
) -> LRScheduler:
    """Increase linearly, then decrease along half a cosine to `final` times the maximum.

    Loshchilov and Hutter (2017), equation 5, without restarts.
    """
    rise = _rise(warmup, total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return _half_cosine(1.0, final, (step + 1 - rise) / max(1, total_steps - rise))

    return LambdaLR(optimizer, factor)


def one_cycle(
    optimizer: Optimizer, *, total_steps: int, warmup: Fraction, start: Fraction, final: Fraction
) -> LRScheduler:
    """Increase from `start` times the maximum, then decrease to `final` times it, by half cosines.

    Smith and Topin (2018), with the cosines of torch's `OneCycleLR` and without its momentum.
    """
    top = warmup * total_steps - 1  # the step of the maximum

    def factor(step: int) -> float:
        if step < top:
            return _half_cosine(start, 1.0, step / top)
        return _half_cosine(1.0, final, (step - top) / max(1, total_steps - 1 - top))

    return LambdaLR(optimizer, factor)


def noam(
    optimizer: Optimizer,
    *,
    total_steps: int,
    d_model: PositiveInt,
    warmup_steps: PositiveInt,
    scale: PositiveFloat,
) -> LRScheduler:
    """Increase linearly for `warmup_steps`, then decrease with the root of the step.

    Vaswani et al. (2017), equation 3, times `scale`; the optimizer's own rate has no effect.
    """

    def rate(step: int) -> float:
        n = step + 1
        return (
            scale
            / math.sqrt(d_model)
            * min(1 / math.sqrt(n), n / warmup_steps / math.sqrt(warmup_steps))
        )

    # LambdaLR multiplies a group's own rate, which is divided out here.
    own: list[float] = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]

    def factor(own_rate: float) -> Callable[[int], float]:
        return lambda step: rate(step) / own_rate

    return LambdaLR(optimizer, [factor(own_rate) for own_rate in own])


def _rise(warmup: float, total_steps: int) -> int:
    """Return the number of steps until the maximum, at least 1."""
    return max(1, round(warmup * total_steps))


def _half_cosine(first: float, last: float, share: float) -> float:
    """Interpolate between `first` (share 0) and `last` (share 1 and above) along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2
