"""Intervals over seeds and test items: what every item does to a metric, and what items add to a difference's noise.

An interval over seeds asks what other seeds would give on this very test set. One over seeds and items asks what other
seeds would give on other items from the same source, too. The same items are in both losses' and all seeds' runs of a
benchmark, so that an item which is hard for both cancels.

How much a metric would vary, had other items been drawn, is what resampling items with replacement estimates. As
resamples grow in number, their variance becomes, to first order in 1 / items, a sum over items of the square of what
each does to the metric (the infinitesimal jackknife; Efron 1982, *The Jackknife, the Bootstrap and Other Resampling
Plans*, chapter 6): this is computed here, without the noise of so many draws and in a thirtieth of their time. Of a
mean it is the usual variance; of an area under the curve what DeLong, DeLong and Clarke-Pearson (1988) found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import special

from suite.outcomes import Outcomes


def influence(outcomes: Outcomes) -> np.ndarray:
    """Return the derivative of a metric by how often each item counts, at once each: float64 [items], of sum 0.

    Where the metric is a mean over parts, the mean of theirs: an item is in all of them.
    """
    arrays = {name: np.atleast_2d(array).astype(float) for name, array in outcomes.arrays().items()}
    parts = ({name: array[place] for name, array in arrays.items()} for place in range(len(arrays["values"])))
    return np.asarray(np.mean([_OF_STATISTIC[outcomes.statistic](**part) for part in parts], axis=0))


def item_variance(influences: np.ndarray) -> float:
    """Return the variance that items give to a mean difference.

    Parameters
    ----------
    influences : array [items]
        On the difference of the two losses' means over seeds.

    Returns
    -------
    float
        Free of bias where the metric is a mean; NaN for one item.
    """
    n = len(influences)
    return float(np.dot(influences, influences)) * n / (n - 1) if n > 1 else math.nan


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


def _of_mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    counts = np.ones(len(values)) if weights is None else weights
    return np.asarray(counts * (values - np.average(values, weights=counts)) / counts.sum())


def _of_area(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return what items do to the area under the curve: the share of pairs that are in order, half of the ties."""
    is_positive = truth == 1
    positives, negatives = values[is_positive], values[~is_positive]
    in_order = np.empty(len(values))  # the share of the other class that an item is on the right side of
    in_order[is_positive] = _share_below(positives, negatives)
    area = in_order[is_positive].mean()
    in_order[~is_positive] = 1 - _share_below(negatives, positives)
    return np.asarray((in_order - area) / np.where(is_positive, len(positives), len(negatives)))


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the share of `others` that are smaller than each value, equal ones by half."""
    others = np.sort(others)
    below, up_to = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * len(others)))


def _of_rank_correlation(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return what items do to Spearman's correlation: its product and squares, and all mean ranks, move with each.

    Once more of an item moves twice a centred mean rank by 1 above it and by -1 below it.
    """
    if np.ptp(values) == 0:
        return np.zeros(len(values))
    one, other = _Ranks(values), _Ranks(truth)
    first, second = one.centred, other.centred
    of_product = first * second + one.above_less_below(second) + other.above_less_below(first)
    of_squares = [
        (ranks.centred**2 + 2 * ranks.above_less_below(ranks.centred)) / np.dot(ranks.centred, ranks.centred)
        for ranks in (one, other)
    ]
    scale = math.sqrt(np.dot(first, first) * np.dot(second, second))
    return np.asarray(of_product / scale - np.dot(first, second) / scale * sum(of_squares) / 2)


class _Ranks:
    """The order of values [n].

    Attributes
    ----------
    centred : array [n]
        Twice the distance of each mean rank from the middle.
    """

    def __init__(self, values: np.ndarray) -> None:
        _, self._place = np.unique(values, return_inverse=True)
        self.centred = -self.above_less_below(np.ones(len(values)))

    def above_less_below(self, of: np.ndarray) -> np.ndarray:
        """Return for each item the sum of something [n] over all items above it, less that over all below it."""
        by_place = np.bincount(self._place, weights=of)
        up_to = np.cumsum(by_place)
        return np.asarray((up_to[-1] - 2 * up_to + by_place)[self._place])


_OF_STATISTIC: Final[dict[str, Callable[..., np.ndarray]]] = {
    "mean": _of_mean,
    "roc_auc": _of_area,
    "spearman": _of_rank_correlation,
}
