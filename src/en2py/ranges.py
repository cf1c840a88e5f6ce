"""Types of numbers with their ranges, for arguments that a config sets; more are in pydantic."""

from typing import Annotated

from pydantic import Field

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # the range of numpy's generator
Length = Annotated[int, Field(ge=2)]  # tokens, the end of the sequence included
Fraction = Annotated[float, Field(ge=0, le=1)]
ProperFraction = Annotated[float, Field(ge=0, lt=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
