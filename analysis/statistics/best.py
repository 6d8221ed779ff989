"""Multiple comparisons with the best: a set of losses that holds the best with 95 % confidence."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from analysis.statistics.differences import ALPHA, ROUNDING


def may_be_best(scores: np.ndarray) -> np.ndarray:
    """Return which losses may be the best: bool [losses].

    Hsu, "Multiple Comparisons: Theory and Methods", 1996, chapter 4: a loss leaves the set where another is surely
    better than it, by a one-sided test at 5 % over the number of other losses. The true best is then thrown out in at
    most 5 % of samples, however many losses there are and however their normal noise differs: every pair has its own
    standard deviation of differences paired by seed, and Bonferroni's quantile stands in for Dunnett's, which needs
    equal ones.

    Parameters
    ----------
    scores : array [seeds, losses]
        Higher is better; every loss has every seed. None is in the set for fewer than two seeds, as nothing is then
        known of the noise, but where there is one loss alone.
    """
    seeds, losses = scores.shape
    if losses < 2:
        return np.ones(losses, dtype=bool)
    if seeds < 2:
        return np.zeros(losses, dtype=bool)
    critical = float(special.stdtrit(seeds - 1, 1 - ALPHA / (losses - 1)))
    kept = np.ones(losses, dtype=bool)
    for place in range(losses):
        gaps = scores - scores[:, [place]]
        mean, error = gaps.mean(axis=0), gaps.std(axis=0, ddof=1) / math.sqrt(seeds)
        least = ROUNDING * max(float(np.abs(scores).max()), 1e-300)
        kept[place] = not (mean > np.maximum(critical * error, least)).any()
    return kept
