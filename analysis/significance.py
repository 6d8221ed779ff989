"""Paired tests of one loss against another on one benchmark: arrays in, figures out."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE = 0.95
ALPHA = 0.05


@dataclass(frozen=True)
class Paired:
    """Differences paired by seed, and what they say about their mean.

    Attributes
    ----------
    n : int
        Number of differences.
    mean, std : float
        ddof 1; NaN where they are not defined.
    low, high : float
        95 % t-interval of the mean.
    boot_low, boot_high : float
        95 % bootstrap interval of the mean.
    p_t, p_flip : float
        Two-sided: paired t, exact sign-flip permutation.
    effect, effect_low, effect_high : float
        Standardised mean difference, corrected for small n, and its interval.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float
    boot_low: float
    boot_high: float
    p_t: float
    p_flip: float
    effect: float
    effect_low: float
    effect_high: float


@dataclass(frozen=True)
class MarginTests:
    """One-sided paired t-tests of a mean difference (positive is better) against 0 and a margin.

    Attributes
    ----------
    margin : float
    p_better : float
        Of "the mean is at most 0".
    p_not_worse : float
        Of "the mean is at most -margin" (non-inferiority).
    p_worse : float
        Of "the mean is at least -margin".
    p_equivalent : float
        TOST: the larger of the p of "at most -margin" and of "at least +margin".
    """

    margin: float
    p_better: float
    p_not_worse: float
    p_worse: float
    p_equivalent: float
