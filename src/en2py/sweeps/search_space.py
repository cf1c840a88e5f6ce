"""The search space of a command line: Hydra's override grammar as Optuna distributions.

| typed | searched |
|---|---|
| `loss=plain,smoothed`, `model=choice(tiny, small)` | one of these values |
| `model.dropout=interval(0.0, 0.4)` | a number between the two, ends included |
| `optimizer.lr=tag(log, interval(1e-4, 3e-3))` | the same on a logarithmic scale |
| `model.n_encoder_layers=int(interval(1, 6))` | a whole number between the two, ends included |
| `model.d_model=range(64, 257, 64)` | 64, 128, 192 or 256, as in a sweep |
| `model=tiny` | not searched: a single value is fixed |
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from en2py.config.composition import discrete_values, words_of
from en2py.errors import UserError

Space = dict[str, Any]  # key to distribution
_DIGITS = 3  # of a number that is drawn from an interval


def search_space(overrides: Sequence[Override]) -> tuple[list[str], Space]:
    """Separate the fixed overrides of a search from the searched keys.

    Returns:
        The fixed overrides as texts, and the distribution of each searched key.

    Raises:
        UserError: If nothing is searched, or the seed.
    """
    fixed: dict[str, str] = {}
    space: Space = {}
    for override in overrides:
        key = override.get_key_element()
        fixed.pop(key, None)
        space.pop(key, None)
        words = words_of(override)
        if len({*words}) == 1:
            fixed[key] = words[0]
        else:
            space[key] = _distribution(override)
    if "seed" in space:
        raise UserError(
            "a search would choose the luckiest seed: give one seed, and train the best trial with "
            "more seeds afterwards"
        )
    if not space:
        raise UserError(
            "every parameter of the search is fixed: give at least one as a choice or an interval, "
            "for example optimizer.lr='tag(log,interval(1e-4,3e-3))'"
        )
    return list(fixed.values()), space


def _distribution(override: Override) -> Any:
    value: Any = override.value()
    tags = set(getattr(value, "tags", ()))
    if unknown := sorted(tags - {"log"}):
        raise UserError(
            f"{override.input_line}: no tag is named {unknown[0]}; tag(log,interval(A,B)) searches "
            "on a logarithmic scale"
        )
    log = "log" in tags
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or low >= high or (log and low <= 0):
            needed = "0 < A < B" if log else "A < B"
            raise UserError(f"{override.input_line}: an interval (A, B) needs {needed}")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if log:
        raise UserError(f"{override.input_line}: only an interval can be logarithmic")
    values = discrete_values(override)
    if isinstance(value, RangeSweep) and not value.shuffle and len(values) > 1:
        numbers = [float(text) for text in values]
        step = abs(numbers[1] - numbers[0])
        if all(number.is_integer() for number in numbers):
            return IntDistribution(int(min(numbers)), int(max(numbers)), step=int(step))
    return CategoricalDistribution(list(dict.fromkeys(values)))


def rounded(value: Any, distribution: Any) -> Any:
    """Round a number from an interval to three significant digits, within the interval."""
    if not isinstance(distribution, FloatDistribution):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), distribution.low), distribution.high)


def space_text(distribution: Any) -> str:
    """Describe a distribution in a few words: `0.0001 to 0.003, logarithmic`."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    text = f"{distribution.low} to {distribution.high}"
    if isinstance(distribution, IntDistribution) and distribution.step != 1:
        text += f" in steps of {distribution.step}"
    return text + (", logarithmic" if distribution.log else "")
