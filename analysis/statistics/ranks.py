"""Losses compared across benchmarks by their average ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from analysis.statistics.differences import ALPHA, ROUNDING
from suite.outcomes import mean_ranks

SIMULATIONS = 10_000
RANGE_ENDS = 12.0
"""So far from 0 no standard normal number is found: the density is 2e-32."""


@dataclass(frozen=True)
class Ranks:
    """How rows of a table rank over benchmarks (Demšar, "Statistical comparisons of classifiers", JMLR 7, 2006).

    Attributes
    ----------
    names : tuple of str
        The rows.
    benchmarks : int
        How many each rank is averaged over.
    mean_ranks : tuple of float
        1 is best; equal scores share the mean of their ranks.
    friedman_statistic, friedman_p : float
        Of "all rows rank alike", by the chi-squared approximation, which is conservative for so few benchmarks. NaN for
        fewer than three rows or two benchmarks, and where every benchmark gives all rows the same score.
    nemenyi : DataFrame [rows x rows]
        p of each two rows, corrected for the comparison of all with all; 1 on the diagonal.
    critical_difference : float
        The smallest difference of mean ranks that Nemenyi's test takes for real at 5 %; NaN for one row.
    largest_difference : float
        The largest that can be observed: rows - 1.
    power : float
        See :func:`rank_power`; NaN if no standard error was given.
    """

    names: tuple[str, ...]
    benchmarks: int
    mean_ranks: tuple[float, ...]
    friedman_statistic: float
    friedman_p: float
    nemenyi: pd.DataFrame
    critical_difference: float
    largest_difference: float
    power: float

    @property
    def can_separate(self) -> bool:
        """Whether any scores on so few benchmarks could make Nemenyi's test tell two rows apart."""
        return self.largest_difference >= self.critical_difference


def ranks(scores: pd.DataFrame, standard_error: ArrayLike = math.nan) -> Ranks:
    """Rank rows on every benchmark and compare their mean ranks by Friedman's and Nemenyi's tests.

    Parameters
    ----------
    scores : DataFrame [benchmarks x rows]
        Higher is better. Scores that differ by rounding alone count as equal.
    standard_error : float or array [benchmarks]
        For the power: see :func:`rank_power`.

    Raises
    ------
    ValueError
        If there is no score, a score is NaN or infinite, or two rows have the same name.
    """
    values = scores.to_numpy(dtype=float)
    benchmarks, rows = values.shape
    problems = [] if values.size else ["there is no score to rank"]
    if not np.isfinite(values).all():
        missing = [f"{scores.columns[j]} on {scores.index[i]}" for i, j in np.argwhere(~np.isfinite(values))]
        problems.append(f"every row needs a finite score on every benchmark, and these have none: {', '.join(missing)}")
    if not scores.columns.is_unique:
        problems.append("every row needs a name of its own")
    if problems:
        raise ValueError("; ".join(problems))
    ranked = pd.DataFrame([_ranked(line) for line in values], columns=scores.columns)
    statistic, p = _friedman(ranked.to_numpy())
    return Ranks(
        tuple(str(name) for name in scores.columns),
        benchmarks,
        tuple(float(rank) for rank in ranked.mean()),
        statistic,
        p,
        _nemenyi(ranked),
        critical_difference(rows, benchmarks),
        rows - 1.0,
        rank_power(rows, benchmarks, standard_error) if rows > 1 else math.nan,
    )


def critical_difference(rows: int, benchmarks: int) -> float:
    """Return the smallest difference of mean ranks that Nemenyi's test rejects at 5 %; NaN for fewer than two rows.

    Demšar (2006), section 3.2.2: q sqrt(k (k + 1) / 6 N), q the quantile of the studentised range over sqrt 2.
    """
    if rows < 2:
        return math.nan
    return _range_quantile(rows) / math.sqrt(2) * _rank_error(rows, benchmarks)


@lru_cache
def _range_quantile(rows: int) -> float:
    """Return what `range_tail` finds above in 5 %; it falls, and is halved until no number lies between."""
    low, high = 0.0, 100.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if range_tail(np.array([middle]), rows)[0] > ALPHA else (low, middle)
    return low


def range_tail(q: np.ndarray, rows: int) -> np.ndarray:
    """Return the probability that so many standard normal numbers spread over more than q [...].

    The studentised range with infinitely many degrees of freedom: the integral over the smallest number x of
    rows φ(x) [(1 - Φ(x))^(rows - 1) - (Φ(x + q) - Φ(x))^(rows - 1)]. ``scipy.stats.studentized_range`` has it, too,
    and takes a second to import.
    """
    # the trapezium rule, whose error falls exponentially for what is smooth and vanishes at both ends
    smallest, step = np.linspace(-RANGE_ENDS, RANGE_ENDS, 257, retstep=True)
    above, far = special.ndtr(-smallest), special.ndtr(-smallest - np.asarray(q)[..., None])
    others = rows - 1
    with np.errstate(divide="ignore"):  # log 0 where q is 0, which expm1 knows
        more = -(above**others) * np.expm1(others * np.log1p(-far / above))  # no digit is lost where far is little
    density = np.exp(-(smallest**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray((more * density).sum(axis=-1) * step * rows)


def rank_power(rows: int, benchmarks: int, standard_error: ArrayLike, shift: float = 1.0) -> float:
    """Return the probability that Nemenyi's test finds a row better than another, if it is, by simulation.

    The model: on every benchmark, one row is truly better by `shift` than all the others, which are equal, and each
    row's score has independent normal noise. Counted are the simulations in which the test at 5 % puts the better row
    before one given other row. However little the noise, mean ranks then differ by about half the number of rows, as
    the equal ones share the lower ranks by chance; with rows that lie between the two it would be more, and with none
    beside them less: what mean ranks show of two rows depends on the others (Benavoli, Corani & Mangili, "Should we
    really use post-hoc tests based on mean-ranks?", JMLR 17, 2016).

    Parameters
    ----------
    standard_error : float or array [benchmarks]
        Of a row's mean over its seeds, in the unit of `shift`, without what all rows of a seed share: the standard
        deviation of paired differences, over sqrt(2 n). 0 makes the equal rows tie. NaN gives NaN.

    Raises
    ------
    ValueError
        If there are fewer than two rows or one benchmark, or a standard error is negative.
    """
    errors = np.broadcast_to(np.asarray(standard_error, dtype=float), (benchmarks,))
    if rows < 2 or benchmarks < 1:
        raise ValueError(f"ranks need two rows and a benchmark at least, not {rows} and {benchmarks}")
    if (errors < 0).any():
        raise ValueError("a standard error is not negative")
    if np.isnan(errors).any():
        return math.nan
    noise = np.random.default_rng(0).normal(size=(SIMULATIONS, benchmarks, rows))
    scores = noise * errors[:, None]
    scores[..., 0] += shift
    gaps = (_rank_of(scores, 1) - _rank_of(scores, 0)).mean(axis=1)
    return float(np.mean(gaps >= critical_difference(rows, benchmarks)))


def _ranked(line: np.ndarray) -> np.ndarray:
    """Rank scores [rows], best first, those being equal that a chain of differences within rounding connects."""
    order = np.argsort(-line, kind="stable")
    steps = -np.diff(line[order]) > ROUNDING * np.abs(line).max()
    place = np.empty(len(line))
    place[order] = np.concatenate([[0], np.cumsum(steps)])
    return mean_ranks(place)


def _rank_of(scores: np.ndarray, row: int) -> np.ndarray:
    """Return the average rank of one row among all, over the last axis."""
    mine = scores[..., row, None]
    return np.asarray((scores > mine).sum(axis=-1) + ((scores == mine).sum(axis=-1) + 1) / 2)


def _friedman(ranked: np.ndarray) -> tuple[float, float]:
    benchmarks, rows = ranked.shape
    if rows < 3 or benchmarks < 2 or not np.ptp(ranked, axis=1).any():
        return math.nan, math.nan
    # with Conover's correction for ties: the squares of a benchmark's ranks are summed as they are
    from_middle = ranked - (rows + 1) / 2
    statistic = (rows - 1) * float(np.sum(from_middle.sum(axis=0) ** 2) / np.sum(from_middle**2))
    return statistic, float(special.chdtrc(rows - 1, statistic))


def _nemenyi(ranked: pd.DataFrame) -> pd.DataFrame:
    benchmarks, rows = ranked.shape
    p = np.ones((rows, rows))
    if rows > 1:
        means = ranked.mean().to_numpy()
        first, second = np.triu_indices(rows, 1)
        q = np.abs(means[first] - means[second]) / _rank_error(rows, benchmarks)
        p[first, second] = p[second, first] = range_tail(q * math.sqrt(2), rows)
    return pd.DataFrame(p, index=ranked.columns, columns=ranked.columns)


def _rank_error(rows: int, benchmarks: int) -> float:
    """Return the standard error of a difference of mean ranks, where all rows rank alike."""
    return math.sqrt(rows * (rows + 1) / (6 * benchmarks))
