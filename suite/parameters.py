"""Types for constructor parameters that carry their range, so that the registry is checked before anything runs.

``def __init__(self, temperature: Positive)`` is ``float`` to a type checker and "a number > 0" to the registry.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
Small = Annotated[float, Interval(ge=1e-7, lt=1)]
Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
