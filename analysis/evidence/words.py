"""The words of a verdict and of an answer: every table, figure and page takes them from here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from suite.registry.claims import Relation

BETTER, BETTER_WITHIN = "better", "better within the margin"
EQUIVALENT, NOT_WORSE = "equivalent", "not worse"
WORSE_WITHIN, WORSE = "worse within the margin", "worse"
INCONCLUSIVE, INSENSITIVE = "inconclusive", "insensitive"

WORDS = (BETTER, BETTER_WITHIN, EQUIVALENT, NOT_WORSE, WORSE_WITHIN, WORSE, INCONCLUSIVE)
"""What an interval can say, from the best to the worst."""
#: Each of these shows that a loss is not worse by the margin or more.
SHOW_NOT_WORSE = (BETTER, BETTER_WITHIN, EQUIVALENT, NOT_WORSE, WORSE_WITHIN)
ANSWERS = {True: "holds", False: "does not hold", None: "open"}


@dataclass(frozen=True)
class Bounds:
    """An interval of a mean difference, positive is better; NaN where there is none."""

    low: float
    high: float


@dataclass(frozen=True)
class Range:
    """The margins from `low` (exclusive) to `high` (inclusive) for which an interval has the same word."""

    low: float
    high: float
    word: str


def word(bounds: Bounds, margin: float) -> str:
    """Return the word for an interval of a difference: the rules of docs/verdicts.md.

    Parameters
    ----------
    bounds : Bounds
    margin : float
        In the unit of the interval; NaN if none is declared, so that only ``better`` can be shown.
    """
    low, high = bounds.low, bounds.high
    if low > 0:
        return BETTER_WITHIN if high < margin else BETTER
    if low > -margin:
        if high < 0:
            return WORSE_WITHIN
        return EQUIVALENT if high < margin else NOT_WORSE
    return WORSE if high < -margin else INCONCLUSIVE


def answer(bounds: Bounds, margin: float, relation: Relation) -> bool | None:
    """Return whether a claim holds by an interval; None if the interval does not tell.

    ``better`` fails where the loss is surely below; ``not_worse`` where it is surely worse by more than the margin.
    """
    if relation == "better":
        return True if bounds.low > 0 else False if bounds.high < 0 else None
    return True if bounds.low > (0 if math.isnan(margin) else -margin) else False if bounds.high < -margin else None


def by_margin(bounds: Bounds) -> list[Range]:
    """Return the word for an interval as a function of the margin, from 0 to infinity; empty without an interval."""
    if math.isnan(bounds.low):
        return []
    ends = sorted({abs(end) for end in (bounds.low, bounds.high) if end != 0})
    ranges: list[Range] = []
    for low, high in zip([0.0, *ends], [*ends, math.inf], strict=True):
        inside = (low + high) / 2 if math.isfinite(high) else 2 * low + 1
        said = word(bounds, inside)
        if ranges and ranges[-1].word == said:
            ranges[-1] = Range(ranges[-1].low, high, said)
        else:
            ranges.append(Range(low, high, said))
    return ranges


def turning_margin(bounds: Bounds) -> float:
    """Return the margin above which an interval shows "not worse": 0 if it does at any; NaN without an interval."""
    return max(0.0, -bounds.low)


def overall(alone: Sequence[Bounds], together: Sequence[Bounds], margins: Sequence[float]) -> str:
    """Return the word for all benchmarks of a claim.

    "Everywhere" is an intersection-union test, which needs no correction (Berger, Technometrics 24, 1982): `alone` has
    every benchmark's own 95 % interval. "Somewhere" is a union, which does: `together` has the simultaneous ones.

    Parameters
    ----------
    alone, together, margins : sequence
        In the same order, at least one.
    """
    above = any(one.low > 0 for one in together)
    below = any(one.high < 0 for one in together)
    if any(one.high < -margin for one, margin in zip(together, margins, strict=True)):
        return INCONCLUSIVE if above else WORSE
    if not all(one.low > min(0.0, -margin) for one, margin in zip(alone, margins, strict=True)):
        return INCONCLUSIVE
    is_within = all(one.high < margin for one, margin in zip(alone, margins, strict=True))
    if above and not below:
        return BETTER_WITHIN if is_within else BETTER
    if not is_within:
        return NOT_WORSE
    return WORSE_WITHIN if below and not above else EQUIVALENT
