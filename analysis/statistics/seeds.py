"""How many seeds would tell, and how uncertain that number is: it is a guess from a few seeds' noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from suite.plan.power import seeds_needed

POWER = 0.8
CONFIDENCE = 0.95


@dataclass(frozen=True)
class SeedsNeeded:
    """The seeds with which equality would be told from the margin, with 80 % power.

    Attributes
    ----------
    seeds, low, high : int or None
        By the standard deviation that was seen, and by both ends of its 95 % interval; None for more than
        :data:`suite.plan.power.SEEDS_LIMIT`.
    level : float
        Of the one-sided test, after the correction.
    """

    seeds: int | None
    low: int | None
    high: int | None
    level: float

    @property
    def text(self) -> str:
        """The number with its interval, ``12 [8, 40]``."""
        return f"{_number(self.seeds)} [{_number(self.low)}, {_number(self.high)}]"


def needed(std: float, n: int, margin: float, level: float) -> SeedsNeeded | None:
    """Return how many seeds would tell, if the two losses were equal; None without noise, seeds or a margin.

    The interval is that of a normal sample's standard deviation, by the chi-squared distribution.

    Parameters
    ----------
    std : float
        Of `n` paired differences.
    margin : float
        In the same unit.
    level : float
        Of the one-sided test.
    """
    if n < 2 or not std > 0 or not margin > 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = (std * math.sqrt((n - 1) / float(special.chdtri(n - 1, p))) for p in (tail, 1 - tail))
    seen, fewest, most = (seeds_needed(each, margin, POWER, level, sides=1) for each in (std, low, high))
    return SeedsNeeded(seen, fewest, most, level)


def _number(seeds: int | None) -> str:
    return "over 10,000" if seeds is None else f"{seeds:,}"
