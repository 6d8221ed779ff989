"""Intervals over seeds and test items: statistics of resampled items, and what items add to the noise of a difference.

An interval over seeds asks what other seeds would give on this very test set. One over seeds and items asks what other
seeds would give on other items from the same source, too. Items are resampled with replacement, the same draw for both
losses and all seeds of a benchmark, so that an item which is hard for both cancels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import sparse, special

from suite.outcomes import Outcomes

RESAMPLES = 1_000
"""Draws of items: the standard error that they give is off by 2 %, as 1 / sqrt(2 x 1,000)."""
AT_ONCE = 10_000_000
"""Weights that are worked on at one time, for memory's sake."""


@lru_cache(maxsize=8)
def item_weights(items: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Return how often each item is in each resample: int32 [resamples, items], from a fixed generator.

    The weights of one item lie beside each other: what is done with it is done for all resamples at once.
    """
    draws = np.random.default_rng(0)
    drawn = np.empty((resamples, items), dtype=np.int32)
    for row in drawn:
        row[:] = np.bincount(draws.integers(items, size=items), minlength=items)
    return np.asfortranarray(drawn)


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
                found[start : start + step] += _statistic(outcomes.statistic, part, weights[start : start + step])
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
        # not as a matrix product, which would copy the weights as floats
        if "weights" not in part:
            return np.asarray(np.einsum("i,ir->r", values, weights.T) / np.einsum("ir->r", weights.T))
        counts = part["weights"]
        total, count = (np.einsum("i,ir->r", column, weights.T) for column in (counts * values, counts))
        return np.asarray(total / count)
    if statistic == "roc_auc":
        return _area(values, part["truth"] == 1, weights)
    if np.ptp(values) == 0:
        return np.zeros(len(weights))
    return _rank_correlation(values, part["truth"], weights)


def _area(values: np.ndarray, is_positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the curve [resamples]: the share of pairs that are in order, half of the ties.

    The rarer class is sorted, and the other one counted between its values: this takes a tenth of the time that ranks
    of all items would take.
    """
    if 2 * is_positive.sum() > len(values):
        values, is_positive = -values, ~is_positive
    rare, others = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    distinct, place = np.unique(values[rare], return_inverse=True)
    of_rare = _summed(place, rare, len(distinct), weights)
    # twice what is below each distinct value: an item that equals it comes once before it and once after it
    sides = [np.searchsorted(distinct, values[others], side=side) for side in ("left", "right")]
    between = _summed(np.concatenate(sides), np.tile(others, 2), len(distinct) + 1, weights)
    below, above = np.zeros(len(weights)), np.zeros(len(weights))
    for of_value, more in zip(of_rare, between, strict=False):  # the last is above all values
        below += more
        above += of_value * below
    return np.asarray(above / (of_rare.sum(axis=0) * (below + between[-1])))


def _rank_correlation(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation [resamples] of the items that were drawn, equal ones at their mean rank."""
    centred, squares = [], np.ones(len(weights))
    for values in (first, second):
        distinct, place = np.unique(values, return_inverse=True)
        tied = _summed(place, np.arange(len(values)), len(distinct), weights)
        twice, below = np.empty(tied.shape), np.zeros(len(weights))
        for row, of_value in zip(twice, tied, strict=True):  # a cumulative sum along this axis strides through memory
            row[:] = 2 * below + of_value
            below += of_value
        twice -= below  # the distance of the mean rank from the middle
        squares *= np.einsum("vr,vr,vr->r", tied, twice, twice)
        centred.append(twice[place])
    return np.asarray(np.einsum("ir,ir,ir->r", weights.T, *centred) / np.sqrt(squares))


def _summed(place: np.ndarray, items: np.ndarray, places: int, weights: np.ndarray) -> np.ndarray:
    """Return the weights [resamples, all items] of `items` summed by the place of each: [places, resamples]."""
    ones = np.ones(len(items), weights.dtype)
    by_place = sparse.csr_array((ones, (place, items)), shape=(places, weights.shape[1]))
    return np.asarray(by_place @ weights.T)
