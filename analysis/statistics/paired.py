"""Figures of paired seeds: differences with their intervals, and what a setting changes beyond the seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """The mean of differences and its two-sided 95 % t-interval, under normal differences.

    Attributes
    ----------
    n : int
        Number of differences.
    mean, std : float
        NaN without any; the standard deviation has ddof 1 and is NaN for one.
    low, high : float
        The interval, mean -+ t(.975; n - 1) std / sqrt(n); NaN for fewer than two.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float

    @classmethod
    def between(cls, first: pd.Series, second: pd.Series) -> Difference:
        """Take `first` - `second` over the seeds that both have; the series' indices are the seeds, each once."""
        return cls.of((first - second).dropna().to_numpy(dtype=float))

    @classmethod
    def of(cls, differences: np.ndarray) -> Difference:
        """Summarise differences [n]."""
        n = len(differences)
        mean = float(np.mean(differences)) if n else math.nan
        if n < 2:
            return cls(n, mean, math.nan, math.nan, math.nan)
        std = float(np.std(differences, ddof=1))
        half = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(n)
        return cls(n, mean, std, mean - half, mean + half)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the two-sided t-interval at another confidence; NaN for fewer than two."""
        if self.n < 2:
            return math.nan, math.nan
        half = float(special.stdtrit(self.n - 1, (1 + confidence) / 2)) * self.std / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def excludes_zero(self, sign: float) -> bool | None:
        """Whether the interval lies above 0 (`sign` 1) or below it (`sign` -1); None where there is no interval."""
        if math.isnan(self.low):
            return None
        return self.low > 0 if sign > 0 else self.high < 0


@dataclass(frozen=True)
class BlockTest:
    """The F-test of a setting in a randomised complete block design, the seeds being the blocks.

    Attributes
    ----------
    f, p : float
        The statistic and its upper tail; NaN if there are fewer than two settings or seeds, or only the seeds differ.
    settings_df, residual_df : int
        Degrees of freedom: settings - 1, and (settings - 1)(seeds - 1).
    residual_std : float
        What is left of a value once its setting's and its seed's mean are taken out: the noise of a comparison.
    """

    f: float
    p: float
    settings_df: int
    residual_df: int
    residual_std: float


def block_test(layout: np.ndarray) -> BlockTest:
    """Test whether a setting changes anything, in the additive model value = mean + setting + seed + noise.

    Montgomery, "Design and Analysis of Experiments", section 4.1: F = MS(settings) / MS(residual). Unlike the
    difference of the best and the worst setting, it does not grow with the number of settings that noise is given to
    choose extremes from.

    Parameters
    ----------
    layout : array [settings, seeds]
        A value each, none missing.
    """
    settings, seeds = layout.shape
    between, within = settings - 1, (settings - 1) * (seeds - 1)
    if within < 1:
        return BlockTest(math.nan, math.nan, between, within, math.nan)
    of_setting, of_seed = layout.mean(axis=1, keepdims=True), layout.mean(axis=0, keepdims=True)
    rounding = layout.size * (8 * np.finfo(float).eps * np.abs(layout).max()) ** 2
    squares = [
        seeds * float(np.sum((of_setting - layout.mean()) ** 2)),
        float(np.sum((layout - of_setting - of_seed + layout.mean()) ** 2)),
    ]
    effect, residual = (0.0 if square <= rounding else square for square in squares)
    residual /= within
    exact = math.inf if effect > 0 else math.nan
    f = effect / between / residual if residual > 0 else exact
    return BlockTest(f, float(special.fdtrc(between, within, f)), between, within, math.sqrt(residual))
