"""Intervals over seeds and test items: statistics of resampled items, and what items add to the noise of a difference.

An interval over seeds asks what other seeds would give on this very test set. One over seeds and items asks what other
seeds would give on other items from the same source, too. Items are resampled with replacement, the same draw for both
losses and all seeds of a benchmark, so that an item which is hard for both cancels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special

from suite.outcomes import Outcomes, mean_ranks

RESAMPLES = 1_000
"""Draws of items: the standard error that they give is off by 2 %, as 1 / sqrt(2 x 1,000)."""
AT_ONCE = 1_000_000
"""Weights that are worked on at one time, for memory's sake."""


@lru_cache(maxsize=8)
def item_weights(items: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Return how often each item is in each resample: int64 [resamples, items], from a fixed generator."""
    return np.random.default_rng(0).multinomial(items, np.full(items, 1 / items), size=resamples)


def resampled(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Return the statistic of outcomes on resampled items, the mean over their parts.

    Parameters
    ----------
    outcomes : Outcomes
    weights : array [resamples, items]
        How often an item is in a resample.

    Returns
    -------
    array [resamples], float64
        NaN where the statistic of a resample is undefined: no positive, say.
    """
    arrays = {name: np.atleast_2d(array).astype(float) for name, array in outcomes.arrays().items()}
    step = max(1, AT_ONCE // outcomes.items)
    found = np.zeros(len(weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        for place in range(len(arrays["values"])):
            part = {name: array[place] for name, array in arrays.items()}
            for start in range(0, len(weights), step):
                some = weights[start : start + step].astype(float)
                found[start : start + step] += _statistic(outcomes.statistic, part, some)
    return np.asarray(found / len(arrays["values"]))


def item_variance(differences: np.ndarray) -> float:
    """Return the variance that items give to a mean difference.

    Parameters
    ----------
    differences : array [resamples]
        Of the two losses' means over seeds, on the same resampled items; NaN is left out.
    """
    known = differences[np.isfinite(differences)]
    return float(np.var(known, ddof=1)) if len(known) > 1 else math.nan


def crossed_interval(mean: float, std: float, n: int, of_items: float, level: float) -> tuple[float, float]:
    """Bound a mean difference over seeds and items: the variances of both added, under Student's t.

    Its degrees of freedom are Satterthwaite's: n - 1 where the seeds make all of the noise, so that the interval is the
    t-interval over seeds, and the more the items matter the closer to the normal distribution. Where more degrees of
    freedom would make it narrower than that over seeds, it is that over seeds.

    Resampling both at once, the pigeonhole bootstrap (Owen 2007, arXiv 0712.1111), counts what seed and item do
    together (an item right with one seed and wrong with the next) three times; here the seeds' variance has it once and
    the items' once: twice. Both are conservative where that is most of the noise, and neither where it is little.

    Parameters
    ----------
    mean, std : float
        Of the differences [seeds], std with ddof 1.
    n : int
        Number of seeds.
    of_items : float
        From :func:`item_variance`.
    level : float
        Confidence.

    Returns
    -------
    low, high : float
        NaN for fewer than two seeds.
    """
    if n < 2 or not math.isfinite(of_items):
        return math.nan, math.nan
    of_seeds = std**2 / n
    total = of_seeds + of_items
    if total == 0:
        return mean, mean
    freedom = (n - 1) * (total / of_seeds) ** 2 if of_seeds > 0 else math.inf
    quantile = special.stdtrit(freedom, (1 + level) / 2) if freedom < 1e6 else special.ndtri((1 + level) / 2)
    of_seeds_alone = float(special.stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(of_seeds)
    half = max(float(quantile) * math.sqrt(total), of_seeds_alone)
    return mean - half, mean + half


def _statistic(statistic: str, part: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the statistic of one part's items [items] under each row of weights [resamples, items]."""
    values = part["values"]
    if statistic == "mean":
        counts = part.get("weights", np.ones(len(values)))
        return np.asarray(weights @ (counts * values) / (weights @ counts))
    ranks = _resampled_ranks(values, weights)
    if statistic == "roc_auc":
        is_positive = part["truth"] == 1
        positives = weights[:, is_positive].sum(axis=1)
        above = (weights * ranks)[:, is_positive].sum(axis=1) - positives * (positives + 1) / 2
        return np.asarray(above / (positives * (weights.sum(axis=1) - positives)))
    if np.ptp(values) == 0:
        return np.zeros(len(weights))
    return _correlation(ranks, _resampled_ranks(part["truth"], weights), weights)


def _resampled_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean rank of each item's copies among all that were drawn: [resamples, items]."""
    order = np.argsort(values, kind="stable")
    firsts = np.flatnonzero(np.diff(mean_ranks(values)[order], prepend=-1.0))
    tied = np.add.reduceat(weights[:, order], firsts, axis=1)
    middle = np.cumsum(tied, axis=1) - (tied - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = np.repeat(middle, np.diff(np.append(firsts, len(values))), axis=1)
    return ranks


def _correlation(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the rows of two arrays [resamples, items] under weights."""
    centre = (weights.sum(axis=1, keepdims=True) + 1) / 2  # of any ranks of so many
    first, second = first - centre, second - centre
    moment = (weights * first * second).sum(axis=1)
    return np.asarray(moment / np.sqrt((weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)))
