"""Types of numbers with their ranges, for arguments that a config sets; more are in pydantic."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # the range of numpy's generator
Length = Annotated[int, Field(ge=2)]  # tokens, the end of the sequence included
Fraction = Annotated[float, Field(ge=0, le=1)]
ProperFraction = Annotated[float, Field(ge=0, lt=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]


def _in_order(numbers: Sequence[int]) -> Sequence[int]:
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise ValueError("two whole numbers above 0, the lower one first")
    return numbers


Lengths = Annotated[Sequence[int], AfterValidator(_in_order)]  # the shortest and the longest
