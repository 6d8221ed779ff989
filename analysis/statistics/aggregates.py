"""Differences over several benchmarks, in margins: mean, median, interquartile mean, probability of improvement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.differences import FEWEST_RESAMPLED, RESAMPLES, bootstrap_interval, finite
from analysis.statistics.paired import CONFIDENCE

ROBUST_RESAMPLES = 2_000


@dataclass(frozen=True)
class Robust:
    """A figure and the percentile interval (95 %) of resampled benchmarks and seeds; NaN where it has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Aggregate:
    """The mean over benchmarks of a row's difference from another, in margins, and its interval.

    Attributes
    ----------
    mean : float
        Over the benchmarks' means: each counts alike, whatever its number of seeds.
    low, high : float
        95 % interval; NaN where there are too few benchmarks to resample.
    benchmarks, resamples : int
    median, middle : Robust
        Of the benchmarks' means: their median, and their interquartile mean (the mean without the lowest and the
        highest quarter), which a single benchmark does not carry away.
    """

    mean: float
    low: float
    high: float
    benchmarks: int
    resamples: int
    median: Robust
    middle: Robust

    @property
    def has_interval(self) -> bool:
        """Whether there are enough benchmarks to resample."""
        return not math.isnan(self.low)


def hierarchical_bootstrap(differences: Mapping[str, ArrayLike], resamples: int = RESAMPLES) -> Aggregate:
    """Average differences over benchmarks, and bound their mean by resampling benchmarks, then seeds within them.

    The benchmarks are taken for a sample of such benchmarks: the interval is of the mean over those that might have
    been chosen as well. Its corrections for few benchmarks are those of
    :func:`analysis.statistics.differences.bootstrap_interval`. Over five benchmarks of five seeds it covers 94 % where
    benchmarks differ by much more than seeds do, 97 % where both have the same standard deviation, and above 99 % where
    only seeds differ, as their noise then enters twice.
    A benchmark with one seed is resampled as it stands.

    Parameters
    ----------
    differences : mapping of benchmark to array [seeds]
        In units of the benchmark's margin, positive where better.

    Raises
    ------
    ValueError
        If there is no benchmark, or one has no difference or one that is NaN or infinite.
    """
    values = {name: finite(each) for name, each in differences.items()}
    empty = [name for name, each in values.items() if not len(each)]
    if empty or not values:
        raise ValueError(f"no differences to average{' on ' if empty else ''}{', '.join(empty)}")
    sizes = tuple(len(each) for each in values.values())
    low, high = bootstrap_interval(np.concatenate(list(values.values()))[None], sizes, resamples)
    mean = float(np.mean([each.mean() for each in values.values()]))
    median, middle = _robust(list(values.values()))
    return Aggregate(mean, float(low[0]), float(high[0]), len(values), resamples, median, middle)


def improvement(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the probability that a run of a row is better than one of another, over benchmarks; ties are half.

    Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021, section 4.3.

    Parameters
    ----------
    pairs : sequence of (array [runs], array [runs])
        Scores of both on each benchmark, higher is better; not paired by seed. NaN for none.
    """
    shares = []
    for mine, other in pairs:
        gaps = np.asarray(mine, dtype=float)[:, None] - np.asarray(other, dtype=float)[None]
        shares.append(float(np.mean((gaps > 0) + 0.5 * (gaps == 0))))
    return float(np.mean(shares)) if shares else math.nan


@dataclass(frozen=True)
class Profile:
    """A performance profile: for every difference that occurs, the share of runs with at least that one.

    Attributes
    ----------
    at : array [steps]
        The differences, ascending.
    share : array [steps]
        Falls from 1; every benchmark weighs alike.
    low, high : array [steps]
        95 % percentile band of each share, over resampled seeds of every benchmark.
    """

    at: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def profile_of(differences: Mapping[str, ArrayLike]) -> Profile:
    """Return the performance profile of differences over benchmarks.

    Dolan & More, "Benchmarking optimization software with performance profiles", Math. Program. 91 (2002); of runs
    instead of means, with a band, Agarwal et al. (2021), section 4.2, as in rliable.

    Parameters
    ----------
    differences : mapping of benchmark to array [seeds]
        In units of the benchmark's margin, positive where better.

    Raises
    ------
    ValueError
        If there is no benchmark, or a difference is NaN or infinite.
    """
    values = [finite(each) for each in differences.values()]
    if not values:
        raise ValueError("no differences to profile")
    at = np.unique(np.concatenate(values))
    rng = np.random.default_rng(0)
    share, resampled = np.zeros(len(at)), np.zeros((ROBUST_RESAMPLES, len(at)))
    for each in values:
        order = np.argsort(each)
        first = np.searchsorted(each[order], at)  # of those that reach a difference, in ascending order
        drawn = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=ROBUST_RESAMPLES)[:, order]
        reaching = np.zeros((ROBUST_RESAMPLES, len(each) + 1), dtype=drawn.dtype)
        np.cumsum(drawn[:, ::-1], axis=1, out=reaching[:, -2::-1])
        share += (len(each) - first) / len(each) / len(values)
        resampled += reaching[:, first] / (len(each) * len(values))
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return Profile(at, share, low, high)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of the middle half of values, over the last axis; a value that is partly in counts in part."""
    n = values.shape[-1]
    edges = np.clip(np.arange(n + 1), n / 4, 3 * n / 4)
    return np.asarray((np.sort(values, axis=-1) * np.diff(edges)).sum(axis=-1) / (n / 2))


def _robust(values: Sequence[np.ndarray]) -> tuple[Robust, Robust]:
    means = np.array([each.mean() for each in values])
    figures = float(np.median(means)), float(interquartile_mean(means))
    if len(values) < FEWEST_RESAMPLED:
        return Robust(figures[0], math.nan, math.nan), Robust(figures[1], math.nan, math.nan)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values), size=(ROBUST_RESAMPLES, len(values)))
    resampled = np.empty(drawn.shape)
    for place, each in enumerate(values):
        here = drawn == place
        resampled[here] = each[rng.integers(len(each), size=(int(here.sum()), len(each)))].mean(axis=1)
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    bounds = (np.quantile(of, tails) for of in (np.median(resampled, axis=1), interquartile_mean(resampled)))
    median, middle = (
        Robust(figure, float(low), float(high)) for figure, (low, high) in zip(figures, bounds, strict=True)
    )
    return median, middle
