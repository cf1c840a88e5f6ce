"""The ranges and choices of the values that a person sets, by the last part of their keys."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a number must be.

    Attributes:
        test: Whether it is.
        words: The same for a person.
    """

    test: Callable[[Any], bool]
    words: str


def whole(least: int, most: int | None = None, also: int | None = None) -> Rule:
    """Make the rule of a whole number within bounds, or equal to one more value."""

    def test(x: Any) -> bool:
        inside = type(x) is int and x >= least and (most is None or x <= most)
        return inside or (also is not None and x == also)

    words = f"a whole number from {least} {'on' if most is None else f'to {most}'}"
    return Rule(test, words if also is None else f"{words}, or {also}")


def number(interval: str) -> Rule:
    """Make the rule of a number within an interval as mathematics writes it, `[0, 1)`."""
    low, high = (float(end) for end in interval[1:-1].split(","))

    def test(x: Any) -> bool:
        if type(x) not in (int, float) or not math.isfinite(x):
            return False
        above = x >= low if interval[0] == "[" else x > low
        below = x <= high if interval[-1] == "]" else x < high
        return bool(above and below)

    side = {"[": "at least", "(": "above", "]": "at most", ")": "below"}
    words = f"a number {side[interval[0]]} {low:g}"
    return Rule(test, words + (f" and {side[interval[-1]]} {high:g}" if high < math.inf else ""))


# By the last part of a key, in any section; `null` is always left to the type.
RULES: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),  # the range of numpy's generator
    "n_*": whole(1),
    "d_*": whole(1),
    "max_*_len": whole(2),
    "max_len": whole(2),
    "*_min_freq": whole(1),
    "max_tokens": whole(1),
    "max_pairs": whole(1),
    "num_workers": whole(0),
    "skip_batches": whole(0),
    "spike": number("(1, inf)"),
    "processes": whole(1),
    "vocab_size": whole(256),  # a piece a byte, at least
    "dim": whole(1),
    "window": whole(1),
    "beam_size": whole(1),
    "top_k": whole(1),
    "k": whole(1),
    "k1": number("[0, inf)"),
    "b": number("[0, 1]"),
    "patience": whole(1),
    "freeze_epochs": whole(0, also=-1),
    "epochs": whole(1),
    "accumulate_grad_batches": whole(1),
    "max_epochs": whole(1, also=-1),
    "max_steps": whole(1, also=-1),
    "every_n_*": number("(0, inf)"),
    "keep_every_n_*": whole(1),
    "dropout": number("[0, 1)"),
    "label_smoothing": number("[0, 1)"),
    "lr": number("(0, inf)"),
    "*_lr": number("(0, inf)"),
    "eps": number("(0, inf)"),
    "betas": number("[0, 1)"),
    "weight_decay": number("[0, inf)"),
    "gradient_clip_val": number("[0, inf)"),
    "warmup": number("[0, 1]"),
    "warmup_steps": whole(1),
    "start": number("[0, 1]"),
    "final": number("[0, 1]"),
    "scale": number("(0, inf)"),
    "decay": number("(0, 1)"),
    "*_weight": number("(0, inf)"),
    "probability": number("[0, 1)"),
    "ratios": number("(0, 1)"),
    "temperature": number("(0, inf)"),
    "top_p": number("(0, 1]"),
    "timeout_s": number("(0, inf)"),
    "seconds_per_pair": number("(0, inf)"),
    "memory_mb": whole(64),
    "workers": whole(1),
    "length_penalty": number("[0, inf)"),
}
_PRECISIONS = "auto 32-true 32 16-mixed 16-true 16 bf16-mixed bf16-true bf16 64-true 64"
CHOICES: dict[str, tuple[str, ...]] = {
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.precision": tuple(_PRECISIONS.split()),
    "decoding.engine": ("torch", "ctranslate2", "ctranslate2_int8"),
    "sandbox.min_level": ("full", "kernel", "process"),
    "part": ("train", "val", "test"),
}
