"""What so many seeds can show before any are spent: smallest p, power, seeds needed, smallest difference detected.

The tests are the paired ones of :mod:`analysis.statistics.differences`; `std` is that of the differences between two
losses that share a seed, in the unit of `shift` and `margin`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Sides = Literal[1, 2]
"""2: whether there is a difference; 1: whether it is positive, or, for non-inferiority, above minus the margin."""

SEEDS_LIMIT = 10_000
"""The most seeds that :func:`seeds_needed` answers with."""


def smallest_flip_p(n: int) -> float:
    """Return the smallest two-sided p of the exact sign-flip test of `n` differences, 2 / 2^n; 1 for none.

    It is that of differences which all have the same sign: only they and their mirror image are as extreme.
    """
    return min(1.0, 2.0 ** (1 - n))


def seeds_for_p(alpha: float, family: int) -> int:
    """Return the fewest seeds with which an exact sign-flip test can pass the first step of Holm's correction.

    With fewer, none of the `family` tests can be rejected, whatever the differences: the first step compares the
    smallest p with `alpha` / `family`.

    Raises
    ------
    ValueError
        If `alpha` is not between 0 and 1, or `family` is below 1.
    """
    _check(alpha=alpha)
    if family < 1:
        raise ValueError(f"a family has at least one test, not {family}")
    n = 1
    while family * smallest_flip_p(n) > alpha:
        n += 1
    return n


def power(n: int, shift: float, std: float, alpha: float = 0.05, sides: Sides = 2) -> float:
    """Return the probability that the paired t-test rejects at `alpha` when the true mean difference is `shift`.

    From the noncentral t distribution, under normal differences. For non-inferiority of two losses that are equally
    good, `shift` is the margin and `sides` 1: the distance of the truth from what is to be rejected.

    Parameters
    ----------
    n : int
        Seeds. Fewer than two make no test, which rejects nothing: 0.
    shift, std : float
        In the same unit; NaN in either gives NaN. A `std` of 0 gives the limit: `alpha` without a shift, otherwise 1
        (or 0, where `sides` is 1 and the shift is negative).

    Raises
    ------
    ValueError
        If `alpha` is not between 0 and 1, `std` is negative, or `sides` is neither 1 nor 2.
    """
    _check(alpha=alpha, std=std, sides=sides)
    if math.isnan(shift) or math.isnan(std):
        return math.nan
    if shift == 0:
        return _power(n, 0.0, alpha, sides)
    return _power(n, shift / std if std > 0 else math.copysign(math.inf, shift), alpha, sides)


def seeds_needed(std: float, margin: float, power: float = 0.8, alpha: float = 0.05, sides: Sides = 2) -> int | None:
    """Return the fewest seeds, at least two, with which the paired t-test has the power to see a shift of `margin`.

    Returns
    -------
    int or None
        None if more than `SEEDS_LIMIT` are needed, or `std` or `margin` is NaN. Two if `std` is 0.

    Raises
    ------
    ValueError
        If `power` or `alpha` is not between 0 and 1, `std` is negative, `margin` is not positive, or `sides` is neither
        1 nor 2.
    """
    _check(alpha=alpha, power=power, std=std, sides=sides)
    if margin <= 0:
        raise ValueError(f"a margin is positive, not {margin}")
    if math.isnan(std) or math.isnan(margin):
        return None
    effect = margin / std if std > 0 else math.inf
    enough = 2
    while _power(enough, effect, alpha, sides) < power:
        if enough >= SEEDS_LIMIT:
            return None
        enough = min(2 * enough, SEEDS_LIMIT)
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if _power(middle, effect, alpha, sides) < power:
            too_few = middle
        else:
            enough = middle
    return enough


def detectable(n: int, std: float, power: float = 0.8, alpha: float = 0.05, sides: Sides = 2) -> float:
    """Return the smallest shift that the paired t-test over `n` seeds sees with this power, in the unit of `std`.

    Returns
    -------
    float
        Infinite for fewer than two seeds; NaN if `std` is; 0 if `std` is, or if `power` is no more than `alpha`.

    Raises
    ------
    ValueError
        If `power` or `alpha` is not between 0 and 1, `std` is negative, or `sides` is neither 1 nor 2.
    """
    _check(alpha=alpha, power=power, std=std, sides=sides)
    if math.isnan(std):
        return math.nan
    if n < 2:
        return math.inf
    if std == 0 or power <= alpha:
        return 0.0
    low, high = 0.0, 1.0
    while _power(n, high, alpha, sides) < power:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(n, middle, alpha, sides) < power else (low, middle)
    return high * std


def noncentral_t_cdf(t: float | np.ndarray, df: int, noncentrality: float | np.ndarray) -> np.ndarray:
    """Return the distribution function of the noncentral t, elementwise.

    `scipy.special.nctdtr` returns NaN far out in either tail, where the value is 0 or 1 to all digits; for `t` above
    some ten thousand, elsewhere as well.
    """
    import numpy as np  # with scipy a second, which plans without results do not need
    from scipy import special

    cdf = special.nctdtr(df, noncentrality, t)
    return np.where(np.isnan(cdf), np.less(noncentrality, t), cdf)


def _power(n: int, effect: float, alpha: float, sides: Sides) -> float:
    """Return the power against a shift of `effect` standard deviations."""
    if n < 2:
        return 0.0
    from scipy import special  # as above

    critical = float(special.stdtrit(n - 1, 1 - alpha / sides))
    noncentrality = math.sqrt(n) * effect
    above = 1 - float(noncentral_t_cdf(critical, n - 1, noncentrality))
    return above if sides == 1 else above + float(noncentral_t_cdf(-critical, n - 1, noncentrality))


def _check(*, alpha: float, power: float = 0.5, std: float = 0.0, sides: int = 2) -> None:
    problems = [
        f"{name} is between 0 and 1, not {p}" for name, p in (("alpha", alpha), ("power", power)) if not 0 < p < 1
    ]
    if std < 0:
        problems.append(f"a standard deviation is not negative: {std}")
    if sides not in (1, 2):
        problems.append(f"a test has 1 or 2 sides, not {sides}")
    if problems:
        raise ValueError("; ".join(problems))
