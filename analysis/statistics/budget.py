"""What a search is worth: the expected test score of the best of k configurations by validation, with intervals.

Dodge et al., "Show Your Work", EMNLP 2019 (arXiv 1909.03004), with the estimator that is unbiased: the mean over all
subsets of k of the n configurations, without replacement. The original one draws with replacement, and is too low (Tang
et al., ACL 2020, arXiv 2004.13702). Here validation chooses and test is reported, and no seed does both: what is chosen
by the mean of all other seeds is reported by the seed that is left out, in turn. The scores of the very runs that were
chosen by would be too high, since the luck of a run helps it on validation and on test alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from analysis.statistics.differences import FEWEST_RESAMPLED, ROUNDING
from analysis.statistics.paired import CONFIDENCE

RESAMPLES = 2_000
_Best = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Takes validation and test [..., n] and the seed that is left out; returns scores [trials, ...]."""


@dataclass(frozen=True)
class Scores:
    """Configurations by seeds; higher is better.

    Attributes
    ----------
    validation : array [configurations, seeds]
        -infinity where a run failed. Of equal means the first configuration is chosen.
    test : array [configurations, seeds]
        Finite.
    """

    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Curve:
    """The expected test score after 1, 2, ... trials.

    Attributes
    ----------
    by_seed : array [trials, seeds]
        What the seed says that is left out of the choice; the mean over seeds is the estimate.
    spread : array [trials]
        Standard deviation of the estimate over resampled configurations; NaN where these are too few to be resampled.
    drawn : int
        Configurations that were drawn from the search space.
    """

    by_seed: np.ndarray
    spread: np.ndarray
    drawn: int

    @property
    def mean(self) -> np.ndarray:
        """The estimate: array [trials]."""
        mean: np.ndarray = self.by_seed.mean(axis=1)
        return mean

    def minus(self, level: np.ndarray) -> Curve:
        """Return the curve of differences from scores [seeds] of what was not searched for, paired by seed.

        What equals the scores but for rounding, as where all configurations score alike, is no difference.
        """
        gaps, least = self.by_seed - level, ROUNDING * max(np.abs(self.by_seed).max(), np.abs(level).max())
        by_seed, spread = (np.where(np.abs(one) <= least, 0.0, one) for one in (gaps, self.spread))
        return Curve(by_seed, spread, self.drawn)

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the 95 % interval over configurations and seeds: two arrays [trials].

        Student's t around the estimate, its variance that of resampled configurations plus that of the seeds' means,
        with Satterthwaite's degrees of freedom. The noise of single runs is in both: the interval is rather too wide
        where it prevails. NaN where neither is known.
        """
        seeds = self.by_seed.shape[1]
        configurations = self.spread**2 * self.drawn / max(self.drawn - 1, 1)
        between = self.by_seed.var(axis=1, ddof=1) / seeds if seeds > 1 else np.zeros(len(self.spread))
        whole = configurations + between
        with np.errstate(invalid="ignore", divide="ignore"):
            df = whole**2 / (configurations**2 / max(self.drawn - 1, 1) + between**2 / max(seeds - 1, 1))
        half = np.where(whole > 0, special.stdtrit(df, (1 + CONFIDENCE) / 2) * np.sqrt(whole), 0.0)
        half = np.where(np.isnan(whole) | ((seeds < 2) & (configurations == 0)), math.nan, half)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Price:
    """The trials that a search needs to reach a score.

    Attributes
    ----------
    trials : int or None
        The first number with which the curve is there; None if no number up to the budget is enough.
    low, high : int or None
        95 % interval, by the pointwise intervals of the curve: the first number with which it may be there, and the
        first with which it surely is. None: more than the budget.
    budget : int
        The most trials that the curve knows.
    is_bounded : bool
        Whether there is an interval at all.
    """

    trials: int | None
    low: int | None
    high: int | None
    budget: int
    is_bounded: bool = True

    @property
    def text(self) -> str:
        """The number with its interval: ``3 [1, > 8]``."""
        return f"{self._number(self.trials)} {self.interval_text}".strip()

    @property
    def interval_text(self) -> str:
        """The interval alone; empty where there is none."""
        return f"[{self._number(self.low)}, {self._number(self.high)}]" if self.is_bounded else ""

    def _number(self, trials: int | None) -> str:
        return f"> {self.budget}" if trials is None else str(trials)


def best_of(validation: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    """Return the mean test score of the best of every subset of `k` of `n` configurations by validation.

    Ordered by validation, the r-th worst is the best of C(r - 1, k - 1) of the C(n, k) subsets.

    Parameters
    ----------
    validation, test : array [..., n]
        Higher is better. Of equal ones the first is the better.
    k : int
        1 to n.

    Returns
    -------
    array [...]
    """
    mean: np.ndarray = _from_the_worst(validation, test) @ _weights(validation.shape[-1], k)
    return mean


def random_search(drawn: Scores) -> Curve:
    """Return the curve of k configurations that are drawn from the search space: k = 1 to all of them."""
    return _curve(drawn, lambda validation, test, _: _best_of_each(validation, test))


def declared_first(declared: Scores, drawn: Scores) -> Curve:
    """Return the curve of k trials the first of which is the declared configuration: k = 1 to all of them.

    Parameters
    ----------
    declared : Scores
        Of one configuration.
    drawn : Scores
        Of the others, in the order in which they are drawn.
    """

    def best(validation: np.ndarray, test: np.ndarray, place: int) -> np.ndarray:
        first, level = _left_out(declared, place)
        # whatever is not better than the declared one, which comes first, leaves that in its place
        better = np.where(validation > first[0], test, level[0])
        alone = np.broadcast_to(level[0], validation.shape[:-1])
        return np.stack([alone, *_best_of_each(validation, better)])

    return _curve(drawn, best)


def price(differences: Curve) -> Price:
    """Return how many trials bring a curve of differences to 0 or above.

    Parameters
    ----------
    differences : Curve
        From :meth:`Curve.minus`.
    """
    low, high = differences.interval()
    least = -ROUNDING * np.abs(differences.by_seed).max()
    reached, may_be, surely = (_first(ends >= least) for ends in (differences.mean, high, low))
    return Price(reached, may_be, surely, len(low), not bool(np.isnan(low).any()))


def _first(is_there: np.ndarray) -> int | None:
    found = np.flatnonzero(is_there)
    return int(found[0]) + 1 if len(found) else None


def _from_the_worst(validation: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return test [..., n] in the order of validation; of equal ones the first comes last, as the better."""
    order = np.argsort(validation[..., ::-1], axis=-1, kind="stable")
    return np.take_along_axis(test[..., ::-1], order, axis=-1)


def _best_of_each(validation: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return :func:`best_of` for k = 1 to n: array [n, ...]."""
    n = validation.shape[-1]
    weights = np.stack([_weights(n, k) for k in range(1, n + 1)], axis=1)
    return np.moveaxis(_from_the_worst(validation, test) @ weights, -1, 0)


def _left_out(scores: Scores, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return validation by all seeds but one, and test by that one: two arrays [configurations]."""
    seeds = scores.validation.shape[1]
    others = [seed for seed in range(seeds) if seed != place] or [place]
    return np.array([math.fsum(row) / len(others) for row in scores.validation[:, others]]), scores.test[:, place]


def _curve(drawn: Scores, best: _Best) -> Curve:
    configurations, seeds = drawn.validation.shape
    by_seed, resampled = [], []
    chosen = _resampled(configurations)
    for place in range(seeds):
        validation, test = _left_out(drawn, place)
        by_seed.append(best(validation, test, place))
        resampled.append(best(validation[chosen], test[chosen], place))
    spread = np.mean(resampled, axis=0).std(axis=1)
    if configurations < FEWEST_RESAMPLED:
        spread = np.where(np.arange(len(spread)) < len(spread) - configurations, spread, math.nan)
    return Curve(np.stack(by_seed, axis=1), spread, configurations)


@lru_cache(maxsize=1024)
def _weights(n: int, k: int) -> np.ndarray:
    """Return the share of subsets of which each configuration is the best, from the worst up: array [n]."""
    return np.array([math.comb(rank, k - 1) / math.comb(n, k) for rank in range(n)])


@lru_cache(maxsize=64)
def _resampled(configurations: int) -> np.ndarray:
    """Return places of resampled configurations, in order, so that of equal ones the first remains the better."""
    rng = np.random.default_rng(0)
    return np.sort(rng.integers(configurations, size=(RESAMPLES, configurations)), axis=1)
