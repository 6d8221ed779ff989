"""Paired tests of one loss against another on one benchmark: arrays in, figures out.

Small samples are the rule here (five seeds), so everything says what it does with none, one, or equal differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from analysis.statistics.paired import CONFIDENCE, Difference
from suite.plan.power import noncentral_t_cdf

ALPHA = 0.05
ALL_FLIPS = 16
"""The most differences all of whose sign flips are counted; of more, `FLIPS` are drawn."""
FLIPS = 9_999
RESAMPLES = 10_000
FEWEST_RESAMPLED = 4
"""The fewest differences (or benchmarks) that are resampled: fewer say too little about their distribution."""
ROUNDING = 1e-9
"""Relative difference up to which numbers count as equal."""
LARGE_T = 1_000.0


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
        95 % t-interval of the mean: see :class:`analysis.statistics.paired.Difference`. NaN for fewer than two
        differences.
    boot_low, boot_high : float
        95 % bootstrap interval of the mean: see :func:`bootstrap_interval`. NaN for fewer than `FEWEST_RESAMPLED`.
    p_t : float
        Two-sided paired t-test. NaN for fewer than two differences, and where all are equal but not zero: the test
        would give 0, which no number of seeds supports. 1 where all are zero.
    p_flip : float
        Two-sided sign-flip permutation test: the share of the 2^n ways to flip signs that give a sum at least as far
        from 0. Exact up to `ALL_FLIPS` differences; above, estimated from `FLIPS` drawn ones, the observed one counted
        with them, so that the test keeps its level. It needs symmetry under the null, not normality. NaN for none, 1
        for one.
    effect : float
        Hedges' g of paired differences: mean / std, times the factor that makes it unbiased for normal differences.
        NaN for fewer than three differences (for two no factor does) and where all are equal.
    effect_low, effect_high : float
        95 % interval of the true mean / std, from the noncentral t distribution; NaN where `effect` is.
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

    Where all differences are equal there is no t; the exact one-sided sign-flip test stands in, which gives 2^-n if
    they lie on the side in question and 1 otherwise. So two losses that give the same scores are equivalent from five
    seeds on, and not from two. With fewer than two differences every p is NaN.

    Attributes
    ----------
    margin : float
        In the unit of the differences; NaN if none is declared, as are then all but `p_better`.
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


def paired(differences: ArrayLike) -> Paired:
    """Test whether the mean of differences [n] is 0, and say how large it is.

    Raises
    ------
    ValueError
        If a difference is NaN or infinite: a seed that only one of two losses has is to be left out before.
    """
    values = finite(differences)
    one = Difference.of(values)
    boot_low, boot_high = (float(bound[0]) for bound in bootstrap_interval(values[None], (1,) * one.n))
    effect = effect_low = effect_high = math.nan
    if one.n >= 3 and not is_constant(values):
        effect, effect_low, effect_high = (float(figure[0]) for figure in _effect(values[None]))
    return Paired(
        one.n,
        one.mean,
        one.std,
        one.low,
        one.high,
        boot_low,
        boot_high,
        _two_sided_t(one, values),
        float(_flip_p(values[None])[0]),
        effect,
        effect_low,
        effect_high,
    )


def paired_p(differences: np.ndarray) -> np.ndarray:
    """Return the two-sided p of paired t-tests, as `p_t` of :class:`Paired`, of many samples at once.

    Parameters
    ----------
    differences : array [seeds, ...]
        A sample along the first axis; NaN for a seed that one of its two losses lacks.

    Returns
    -------
    array [...]
        NaN for fewer than two differences and where all are equal.
    """
    counts = np.isfinite(differences).sum(axis=0)
    means = np.where(counts > 0, np.nansum(differences, axis=0) / np.maximum(counts, 1), math.nan)
    squares = np.nansum((differences - means) ** 2, axis=0)
    error = np.sqrt(squares / np.maximum(counts - 1, 1) / np.maximum(counts, 1))
    is_testable = (counts > 1) & (error > ROUNDING * np.nan_to_num(np.abs(means), nan=math.inf))
    t = np.divide(means, error, out=np.zeros_like(means), where=is_testable)
    return np.where(is_testable, 2 * special.stdtr(np.maximum(counts - 1, 1), -np.abs(t)), math.nan)


def margin_tests(differences: ArrayLike, margin: float) -> MarginTests:
    """Test differences [n], positive where better, against 0 and against a margin that is declared beforehand.

    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokin. Biopharm.
    15 (1987), for equivalence.

    Raises
    ------
    ValueError
        If a difference is NaN or infinite, or the margin is negative.
    """
    values = finite(differences)
    if margin < 0:
        raise ValueError(f"a margin is not negative: {margin}")
    one = Difference.of(values)
    if one.n < 2:
        return MarginTests(margin, math.nan, math.nan, math.nan, math.nan)
    better = _p_above(one.mean, one, values)
    if math.isnan(margin):
        return MarginTests(margin, better, math.nan, math.nan, math.nan)
    not_worse = _p_above(one.mean + margin, one, values)
    worse = _p_above(-margin - one.mean, one, values)
    not_above = _p_above(margin - one.mean, one, values)
    return MarginTests(margin, better, not_worse, worse, max(not_worse, not_above))


def holm(ps: Sequence[float]) -> list[float]:
    """Correct the p of one family of tests after Holm (1979), for any dependence between them.

    NaN stays NaN and does not count: a test that could not be made adds nothing to the family. statsmodels does the
    same after seconds of import and with a garbage collection a call.
    """
    given = np.asarray(ps, dtype=float)
    made = np.flatnonzero(~np.isnan(given))
    upwards = made[np.argsort(given[made])]
    corrected = np.full(len(given), math.nan)
    corrected[upwards] = np.minimum(1.0, np.maximum.accumulate(given[upwards] * np.arange(len(made), 0, -1)))
    return [float(p) for p in corrected]


def bootstrap_interval(
    values: np.ndarray, sizes: tuple[int, ...], resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Bound the mean over groups of the groups' means by resampling groups, then values within them, at 95 %.

    Groups of one value each are the ordinary bootstrap. Percentiles of it are too narrow for few groups: by a factor
    sqrt((n - 1) / n), for want of Student's quantiles, and because no resample leaves the range of the data, which of
    five normal values misses the mean in 1 of 16 samples. Two corrections make up for that: percentiles as far out as
    Student's t with n - 1 degrees of freedom is for a normal distribution (the expanded percentile interval of
    Hesterberg, "What teachers should know about the bootstrap", arXiv 1411.5279), and noise on every
    resampled group of the variance that resampling loses, the n-th part of the sample's (the smoothed bootstrap of
    Hesterberg, "Unbiasing the bootstrap: bootknife sampling vs. smoothing", 2004), in place of the first factor. It
    covers the mean of four or five normal values in 94 % of samples, of ten in 95 % (percentiles: 81, 86 and 90 %);
    that of skewed values no better than the t-interval does: 88 % for five exponential ones.

    Parameters
    ----------
    values : array [repetitions, sum of `sizes`]
        Each row a sample of its own, the groups one after another. All are resampled alike, from a fixed generator.
    sizes : tuple of int
        Number of values in each group.

    Returns
    -------
    low, high : array [repetitions]
        NaN for fewer than `FEWEST_RESAMPLED` groups.
    """
    groups = len(sizes)
    if groups < FEWEST_RESAMPLED:
        return np.full(len(values), math.nan), np.full(len(values), math.nan)
    weights, noise = _resampling(sizes, resamples)
    means = np.add.reduceat(values, np.cumsum([0, *sizes[:-1]]), axis=1) / sizes
    lost = means.std(axis=1, ddof=1, keepdims=True) / groups
    tail = float(special.ndtr(special.stdtrit(groups - 1, (1 - CONFIDENCE) / 2)))
    low, high = np.quantile(values @ weights.T + lost * noise, [tail, 1 - tail], axis=1)
    return low, high


def finite(differences: ArrayLike) -> np.ndarray:
    """Return differences as floats [n].

    Raises
    ------
    ValueError
        If there is more than one axis, or a value is NaN or infinite.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"differences have one axis, the seeds, not the shape {values.shape}")
    if not np.isfinite(values).all():
        where = ", ".join(str(index) for index in np.flatnonzero(~np.isfinite(values)))
        raise ValueError(f"differences at {where} are not finite: leave out the seeds that have no score")
    return values


@lru_cache(maxsize=64)
def _resampling(sizes: tuple[int, ...], resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what each value weighs in each resample [resamples, sum of sizes], and standard normal noise [resamples].

    A group drawn twice has its values drawn anew each time, which is one draw of twice as many.
    """
    rng = np.random.default_rng(0)
    groups = len(sizes)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    weights = [
        rng.multinomial(size * times, np.full(size, 1 / size)) / (size * groups)
        for size, times in zip(sizes, drawn.T, strict=True)
    ]
    return np.concatenate(weights, axis=1), rng.normal(size=resamples)


def is_constant(values: np.ndarray) -> bool:
    """Return whether values [n] differ by rounding, or too little to be squared: a t-test has no noise to go by."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max() or np.std(values) == 0)


def _two_sided_t(one: Difference, values: np.ndarray) -> float:
    if one.n < 2:
        return math.nan
    if is_constant(values):
        return math.nan if values.any() else 1.0
    return 2 * float(special.stdtr(one.n - 1, -abs(one.mean) * math.sqrt(one.n) / one.std))


def _p_above(distance: float, one: Difference, values: np.ndarray) -> float:
    """Return the one-sided p of a mean that lies `distance` on the claimed side of a bound."""
    if is_constant(values):
        return 2.0**-one.n if distance > ROUNDING * np.abs(values).max() else 1.0
    return float(special.stdtr(one.n - 1, -distance * math.sqrt(one.n) / one.std))


@lru_cache(maxsize=64)
def _flips(n: int) -> np.ndarray:
    """Return signs [flips, n]: all with a positive first one, the rest being their mirror images, or drawn ones."""
    if n > ALL_FLIPS:
        return np.random.default_rng(0).choice([-1.0, 1.0], size=(FLIPS, n))
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return 1.0 - 2.0 * (bits & 1)[:, ::-1]


def _flip_p(values: np.ndarray) -> np.ndarray:
    """Return the two-sided sign-flip p of each row of values [repetitions, n]."""
    n = values.shape[1]
    if n == 0:
        return np.full(len(values), math.nan)
    tie = ROUNDING * np.abs(values).sum(axis=1)
    observed = np.abs(values.sum(axis=1)) - tie
    extreme = np.abs(values @ _flips(n).T) >= observed[:, None]
    if n > ALL_FLIPS:
        return np.asarray((1 + extreme.sum(axis=1)) / (1 + FLIPS))
    return np.asarray(extreme.mean(axis=1))


def _effect(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Hedges' g of each row of values [repetitions, n], n at least 3, and the bounds of its interval.

    Hedges, "Distribution theory for Glass's estimator of effect size", J. Educ. Stat. 6 (1981), for the factor.
    """
    n = values.shape[1]
    df = n - 1
    t = values.mean(axis=1) / values.std(axis=1, ddof=1) * math.sqrt(n)
    factor = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    tail = (1 - CONFIDENCE) / 2
    low, high = (_noncentrality(t, df, p) / math.sqrt(n) for p in (1 - tail, tail))
    return factor * t / math.sqrt(n), low, high


def _noncentrality(t: np.ndarray, df: int, p: float) -> np.ndarray:
    """Return the noncentrality at which `t` is the `p`-quantile, by bisection.

    `scipy.special.nctdtrinc` hangs for large t, and `nctdtr` slows down until it gives NaN. There the normal term of
    the noncentral t, of variance 1, no longer matters beside its scaled chi, and the quantile of that is known.
    """
    large = np.abs(t) > LARGE_T
    limit = t * np.sqrt(special.chdtri(df, np.where(t > 0, p, 1 - p)) / df)
    t = np.where(large, 0.0, t)
    reach = 5 * np.abs(t) + 5
    low, high = -reach, reach
    for _ in range(50):
        middle = (low + high) / 2
        below = noncentral_t_cdf(t, df, middle) > p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(np.where(large, limit, (low + high) / 2))
