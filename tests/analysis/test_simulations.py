"""Level, power and coverage by simulation: each rate within four binomial standard errors of what theory says.

Every simulation draws from a generator of its own, with a seed that was fixed before its result was seen.
"""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from analysis.statistics.differences import (
    FEWEST_RESAMPLED,
    _effect,
    _flip_p,
    _two_sided_t,
    bootstrap_interval,
    holm,
    margin_tests,
)
from analysis.statistics.paired import Difference
from analysis.statistics.ranks import _friedman, _ranked, critical_difference
from suite.plan.power import power

REPETITIONS = 2_000
STD = 0.02
SIZES = [5, 10]


def normal(n: int, mean: float = 0.0) -> np.ndarray:
    """Draw differences [repetitions, n]."""
    return np.random.default_rng(6).normal(mean, STD, (REPETITIONS, n))


def within(rate: float, nominal: float, repetitions: int = REPETITIONS) -> bool:
    return abs(rate - nominal) <= 4 * math.sqrt(nominal * (1 - nominal) / repetitions)


def not_above(rate: float, nominal: float, repetitions: int = REPETITIONS) -> bool:
    return rate <= nominal + 4 * math.sqrt(nominal * (1 - nominal) / repetitions)


def t_ps(samples: np.ndarray) -> np.ndarray:
    return np.array([_two_sided_t(Difference.of(sample), sample) for sample in samples])


def covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("n", SIZES)
def test_the_t_test_rejects_a_true_null_at_its_level(n: int) -> None:
    assert within(np.mean(t_ps(normal(n)) <= 0.05), 0.05)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("effect", [0.5, 1.0, 1.5])
def test_the_power_of_the_t_test_is_the_one_that_is_planned_with(n: int, effect: float) -> None:
    assert within(np.mean(t_ps(normal(n, effect * STD)) <= 0.05), power(n, effect, 1.0))


@pytest.mark.parametrize(("n", "alpha", "level"), [(5, 0.05, 0.0), (5, 0.0625, 2 / 32), (10, 0.05, 50 / 1024)])
@pytest.mark.parametrize("shape", ["normal", "heavy-tailed", "unequal"])
def test_the_flip_test_rejects_a_true_null_at_its_exact_level_whatever_the_shape(
    n: int, alpha: float, level: float, shape: str
) -> None:
    rng = np.random.default_rng(6)
    draw = {
        "normal": lambda: normal(n),
        "heavy-tailed": lambda: rng.standard_cauchy((REPETITIONS, n)),
        "unequal": lambda: rng.normal(size=(REPETITIONS, n)) * np.arange(1, n + 1) ** 2,
    }
    assert within(np.mean(_flip_p(draw[shape]()) <= alpha), level)


def test_the_flip_test_keeps_its_level_when_flips_are_drawn() -> None:
    assert within(np.mean(_flip_p(normal(20)[:1000]) <= 0.05), 0.05, 1000)


@pytest.mark.parametrize("n", SIZES)
def test_better_is_claimed_of_equals_at_its_level(n: int) -> None:
    ps = [margin_tests(sample, math.nan).p_better for sample in normal(n)]
    assert within(np.mean(np.array(ps) <= 0.05), 0.05)


@pytest.mark.parametrize("n", SIZES)
def test_at_a_true_difference_of_minus_the_margin_not_worse_and_worse_are_claimed_at_their_level(n: int) -> None:
    tests = [margin_tests(sample, 0.01) for sample in normal(n, -0.01)]
    assert within(np.mean([one.p_not_worse <= 0.05 for one in tests]), 0.05)
    assert within(np.mean([one.p_worse <= 0.05 for one in tests]), 0.05)


@pytest.mark.parametrize("n", SIZES)
def test_the_power_to_call_equals_not_worse_is_the_one_that_is_planned_with(n: int) -> None:
    margin = 0.02
    tests = [margin_tests(sample, margin) for sample in normal(n)]
    assert within(np.mean([one.p_not_worse <= 0.05 for one in tests]), power(n, margin, STD, sides=1))


@pytest.mark.parametrize("n", SIZES)
def test_equivalence_is_claimed_at_the_margin_at_its_level(n: int) -> None:
    margin = 5 * STD
    tests = [margin_tests(sample, margin) for sample in normal(n, margin)]
    assert within(np.mean([one.p_equivalent <= 0.05 for one in tests]), 0.05)


def equivalence_power(n: int, margin: float, shift: float) -> float:
    """Integrate over the standard deviation: the mean must lie within margin - t(.95) s / sqrt(n) of 0."""
    critical, scale = stats.t.ppf(0.95, n - 1), STD / math.sqrt(n)

    def at(s: float) -> float:
        room = margin - critical * s * scale
        if room <= 0:
            return 0.0
        chance = special.ndtr((room - shift) / scale) - special.ndtr((-room - shift) / scale)
        return float(chance * stats.chi.pdf(s * math.sqrt(n - 1), n - 1) * math.sqrt(n - 1))

    return float(integrate.quad(at, 0, margin / critical / scale)[0])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("margin", "shift"), [(0.02, 0.0), (0.04, 0.0), (0.04, 0.015)])
def test_what_is_equivalent_is_called_so_with_the_power_that_theory_gives(n: int, margin: float, shift: float) -> None:
    tests = [margin_tests(sample, margin) for sample in normal(n, shift)]
    expected = equivalence_power(n, margin, shift)
    assert within(np.mean([one.p_equivalent <= 0.05 for one in tests]), expected)


def test_holm_rejects_any_of_a_family_of_true_nulls_at_its_level() -> None:
    family = 4
    ps = t_ps(normal(5 * family).reshape(-1, 5)).reshape(REPETITIONS, family)
    rejected = [min(holm(row)) <= 0.05 for row in ps]
    assert within(np.mean(rejected), 1 - (1 - 0.05 / family) ** family)


def test_holm_rejects_any_true_null_beside_false_ones_at_most_at_its_level() -> None:
    samples = normal(5 * 4).reshape(REPETITIONS, 4, 5)
    samples[:, :2] += 10 * STD
    ps = t_ps(samples.reshape(-1, 5)).reshape(REPETITIONS, 4)
    rejected = [min(holm(row)[2:]) <= 0.05 for row in ps]
    assert not_above(np.mean(rejected), 0.05)


@pytest.mark.parametrize("n", SIZES)
def test_the_t_interval_covers(n: int) -> None:
    intervals = [Difference.of(sample) for sample in normal(n, 0.01)]
    low, high = np.array([one.low for one in intervals]), np.array([one.high for one in intervals])
    assert within(covered(low, high, 0.01), 0.95)


@pytest.mark.parametrize("n", [FEWEST_RESAMPLED, *SIZES])
@pytest.mark.parametrize("shape", ["normal", "heavy-tailed"])
def test_the_bootstrap_interval_covers_means_of_symmetric_differences(n: int, shape: str) -> None:
    rng = np.random.default_rng(6)
    samples = normal(n) if shape == "normal" else rng.standard_t(5, (REPETITIONS, n))
    assert within(covered(*bootstrap_interval(samples, (1,) * n), 0.0), 0.95)


@pytest.mark.parametrize("n", SIZES)
def test_the_bootstrap_interval_covers_means_of_skewed_differences_as_the_t_interval_does(n: int) -> None:
    samples = np.random.default_rng(6).exponential(size=(REPETITIONS, n))
    theirs = [Difference.of(sample) for sample in samples]
    of_t = covered(np.array([one.low for one in theirs]), np.array([one.high for one in theirs]), 1.0)
    ours = covered(*bootstrap_interval(samples, (1,) * n), 1.0)
    assert abs(ours - of_t) < 0.02 and 0.85 < ours < 0.93


@pytest.mark.parametrize("n", [3, *SIZES])
@pytest.mark.parametrize("effect", [0.0, 0.8, 3.0])
def test_the_interval_of_the_effect_covers_and_the_effect_has_no_bias(n: int, effect: float) -> None:
    found, low, high = _effect(normal(n, effect * STD))
    assert within(covered(low, high, effect), 0.95)
    if n > 3:  # the mean of the effect of three differences has no standard error
        assert abs(found.mean() - effect) <= 4 * found.std() / math.sqrt(REPETITIONS)


@pytest.mark.parametrize(("between", "lowest", "highest"), [(20.0, 0.93, 0.97), (1.0, 0.95, 1.0), (0.0, 0.97, 1.0)])
def test_the_hierarchical_interval_covers_and_more_where_benchmarks_do_not_differ(
    between: float, lowest: float, highest: float
) -> None:
    rng = np.random.default_rng(6)
    of_benchmark = between * rng.normal(size=(REPETITIONS, 5, 1))
    samples = (of_benchmark + rng.normal(size=(REPETITIONS, 5, 5))).reshape(REPETITIONS, 25)
    assert lowest <= covered(*bootstrap_interval(samples, (5,) * 5), 0.0) <= highest


def null_ranks(benchmarks: int) -> np.ndarray:
    """Draw the ranks of four rows that are equally good [repetitions, benchmarks, rows]."""
    scores = np.random.default_rng(6).normal(size=(REPETITIONS, benchmarks, 4))
    return scores.argsort(axis=-1).argsort(axis=-1) + 1.0


@pytest.mark.parametrize(("benchmarks", "is_exact"), [(5, False), (50, True)])
def test_friedman_rejects_equal_rows_at_its_level_and_more_rarely_on_few_benchmarks(
    benchmarks: int, is_exact: bool
) -> None:
    layouts = null_ranks(benchmarks)[:1000]
    assert np.array_equal(_ranked(-layouts[0, 0]), layouts[0, 0])
    rate = np.mean([_friedman(layout)[1] <= 0.05 for layout in layouts])
    assert within(rate, 0.05, 1000) if is_exact else not_above(rate, 0.05, 1000)


@pytest.mark.parametrize(("benchmarks", "is_exact"), [(5, False), (50, True)])
def test_nemenyi_separates_any_of_equal_rows_at_its_level_and_more_rarely_on_few_benchmarks(
    benchmarks: int, is_exact: bool
) -> None:
    gaps = np.ptp(null_ranks(benchmarks).mean(axis=1), axis=-1)
    rate = np.mean(gaps >= critical_difference(4, benchmarks))
    assert within(rate, 0.05) if is_exact else not_above(rate, 0.05)
