import itertools
import math

import numpy as np
import pytest
from scipy import integrate, special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from analysis.statistics.differences import (
    ALL_FLIPS,
    FEWEST_RESAMPLED,
    FLIPS,
    bootstrap_interval,
    holm,
    margin_tests,
    paired,
    paired_p,
)
from analysis.statistics.paired import Difference

SAMPLES = [np.random.default_rng(seed).normal(0.01, 0.02, n) for seed, n in enumerate([2, 3, 5, 5, 8, 16, 30])]


def every_flip(differences: np.ndarray) -> float:
    sums = [math.fsum(np.multiply(signs, differences)) for signs in itertools.product([-1, 1], repeat=len(differences))]
    return float(np.mean(np.abs(sums) >= abs(math.fsum(differences)) - 1e-12))


@pytest.mark.parametrize("differences", SAMPLES)
def test_the_t_test_is_scipys_on_pairs(differences: np.ndarray) -> None:
    base = np.random.default_rng(9).normal(0.8, 0.1, len(differences))
    theirs = stats.ttest_rel(base + differences, base)
    interval, one = theirs.confidence_interval(0.95), paired(differences)
    assert one.p_t == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (one.low, one.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (one.n, one.mean, one.std) == pytest.approx(
        (len(differences), differences.mean(), differences.std(ddof=1)), rel=1e-12
    )


@pytest.mark.parametrize("differences", [*SAMPLES[:5], [0.3], [0.1, 0.2, 0.3], [0.1, -0.2, 0.1, 0.0, 0.0]])
def test_the_flip_test_counts_every_flip(differences: np.ndarray) -> None:
    assert paired(differences).p_flip == every_flip(np.asarray(differences))


def test_the_flip_test_is_scipys_permutation_test() -> None:
    for differences in SAMPLES[1:5]:
        theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=math.inf)
        assert paired(differences).p_flip == theirs.pvalue


def test_flips_that_tie_up_to_rounding_count_as_extreme() -> None:
    differences = np.array([0.1, 0.2, -0.3])
    assert differences.sum() != 0 and paired(differences).p_flip == 1.0
    assert paired([0.7, 0.1, 0.3, 0.2, -0.2]).p_flip == every_flip(np.array([0.7, 0.1, 0.3, 0.2, -0.2]))


def test_drawn_flips_estimate_the_p_of_all_flips_and_never_reach_zero() -> None:
    differences = np.random.default_rng(3).normal(0.5, 1.0, ALL_FLIPS + 1)
    bits = (np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences))) & 1
    exact = float(np.mean(np.abs((1 - 2 * bits) @ differences) >= abs(differences.sum()) - 1e-12))
    error = math.sqrt(exact * (1 - exact) / FLIPS)
    assert 0.01 < exact < 0.5 and abs(paired(differences).p_flip - exact) < 4 * error
    assert paired(np.full(40, 0.1)).p_flip == 1 / (1 + FLIPS)


def hedges(n: int) -> float:
    """Mean of 1 / (std of n standard normal values, times the mean's factor): what g's factor must undo."""
    df = n - 1
    inverse, _ = integrate.quad(lambda v: stats.chi.pdf(v, df) * math.sqrt(df) / v, 0, np.inf)
    return 1 / inverse


@pytest.mark.parametrize("differences", SAMPLES[1:])
def test_the_effect_is_the_standardised_mean_without_its_bias(differences: np.ndarray) -> None:
    n = len(differences)
    expected = hedges(n) * differences.mean() / differences.std(ddof=1)
    assert paired(differences).effect == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("differences", SAMPLES[1:])
def test_the_bounds_of_the_effect_make_the_observed_t_a_quantile_of_the_noncentral_t(differences: np.ndarray) -> None:
    n, one = len(differences), paired(differences)
    t = stats.ttest_1samp(differences, 0).statistic
    for bound, p in ((one.effect_low, 0.975), (one.effect_high, 0.025)):
        assert stats.nct.cdf(t, n - 1, bound * math.sqrt(n)) == pytest.approx(p, abs=1e-6)
    mirrored = paired(-differences)
    assert (mirrored.effect_low, mirrored.effect_high) == pytest.approx((-one.effect_high, -one.effect_low), rel=1e-9)


def test_the_bounds_of_a_huge_effect_follow_the_spread_of_the_standard_deviation() -> None:
    differences = 1 + 1e-7 * np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    one = paired(differences)
    ratio = differences.mean() / differences.std(ddof=1)
    low, high = (ratio * math.sqrt(special.chdtri(4, p) / 4) for p in (0.975, 0.025))
    assert (one.effect_low, one.effect_high) == pytest.approx((low, high), rel=1e-6)
    just_below, above = (paired(np.array([-1, 0, 1, 0.0]) + shift) for shift in (408.2, 408.3))
    assert just_below.effect_low == pytest.approx(above.effect_low, rel=1e-3)


def test_the_bootstrap_interval_is_that_of_plain_loops() -> None:
    rng = np.random.default_rng(5)
    sizes = (3, 1, 2, 4, 5, 5, 3)
    groups = [rng.normal(size=size) for size in sizes]
    lost = np.std([group.mean() for group in groups], ddof=1) / len(groups)
    draws = []
    for _ in range(10_000):
        chosen = [groups[i] for i in rng.integers(len(groups), size=len(groups))]
        means = [group[rng.integers(len(group), size=len(group))].mean() for group in chosen]
        draws.append(sum(means) / len(means) + lost * rng.normal())
    tail = stats.norm.cdf(stats.t.ppf(0.025, len(groups) - 1))
    low, high = bootstrap_interval(np.concatenate(groups)[None], sizes)
    spread = np.std(draws)
    assert low[0] == pytest.approx(np.quantile(draws, tail), abs=0.25 * spread)
    assert high[0] == pytest.approx(np.quantile(draws, 1 - tail), abs=0.25 * spread)


def test_the_bootstrap_interval_moves_with_its_values() -> None:
    values = SAMPLES[3]
    one, moved = paired(values), paired(10 * values + 1)
    assert (moved.boot_low, moved.boot_high) == pytest.approx((10 * one.boot_low + 1, 10 * one.boot_high + 1))
    assert one.boot_low < one.mean < one.boot_high
    assert paired(values) == one


def test_with_many_differences_the_bootstrap_interval_is_the_t_interval() -> None:
    values = np.random.default_rng(2).normal(size=100)
    one = paired(values)
    assert (one.boot_low, one.boot_high) == pytest.approx((one.low, one.high), abs=0.02)


@pytest.mark.parametrize("n", range(FEWEST_RESAMPLED))
def test_too_few_differences_are_not_resampled(n: int) -> None:
    one = paired(np.arange(n) / 10)
    assert math.isnan(one.boot_low) and math.isnan(one.boot_high)


def test_no_difference_and_one_difference_say_nothing() -> None:
    none, one = paired([]), paired([0.5])
    assert none.n == 0 and all(math.isnan(x) for x in (none.mean, none.std, none.p_t, none.p_flip, none.effect))
    assert (one.n, one.mean, one.p_flip) == (1, 0.5, 1.0)
    assert all(math.isnan(x) for x in (one.std, one.low, one.high, one.p_t, one.effect, one.effect_low))
    for differences in ([], [0.5]):
        tests = margin_tests(differences, 0.1)
        assert all(map(math.isnan, (tests.p_better, tests.p_not_worse, tests.p_worse, tests.p_equivalent)))


def test_two_differences_have_a_t_test_and_no_effect() -> None:
    one = paired([0.1, 0.2])
    assert one.p_t == pytest.approx(stats.ttest_1samp([0.1, 0.2], 0).pvalue) and one.p_flip == 0.5
    assert all(math.isnan(x) for x in (one.effect, one.effect_low, one.effect_high))


def test_equal_scores_do_not_differ() -> None:
    one = paired(np.zeros(5))
    assert (one.mean, one.std, one.low, one.high, one.boot_low, one.boot_high) == (0, 0, 0, 0, 0, 0)
    assert (one.p_t, one.p_flip) == (1.0, 1.0) and math.isnan(one.effect)


def test_equal_differences_have_no_t() -> None:
    scores = np.array([0.8, 0.7, 0.3, 0.11, 0.05])
    one = paired((scores + 0.01) - scores)
    assert one.std > 0 and math.isnan(one.p_t) and math.isnan(one.effect)
    assert one.p_flip == 0.0625
    assert (one.low, one.high, one.boot_low, one.boot_high) == pytest.approx((0.01,) * 4)


def test_differences_whose_squares_vanish_have_no_t() -> None:
    tiny = np.array([1.0, 2.0, 3.0]) * 1e-300
    one = paired(tiny)
    assert one.std == 0 and math.isnan(one.p_t) and math.isnan(one.effect)
    assert margin_tests(tiny, 1e-301).p_better == 0.125


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_missing_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(ValueError, match="differences at 1, 3 are not finite"):
        paired([0.1, bad, 0.2, bad])
    with pytest.raises(ValueError, match="differences at 0 are not finite"):
        margin_tests([bad, 0.2], 0.1)
    with pytest.raises(ValueError, match="one axis"):
        paired(np.ones((2, 3)))


@pytest.mark.parametrize("differences", SAMPLES)
def test_margin_tests_are_scipys_and_equivalence_is_statsmodels(differences: np.ndarray) -> None:
    margin = 0.015
    tests = margin_tests(differences, margin)

    def t_test(bound: float, alternative: str) -> float:
        return float(stats.ttest_1samp(differences, bound, alternative=alternative).pvalue)

    expected = (t_test(0, "greater"), t_test(-margin, "greater"), t_test(-margin, "less"))
    assert (tests.p_better, tests.p_not_worse, tests.p_worse) == pytest.approx(expected, rel=1e-9)
    theirs = ttost_paired(differences, np.zeros(len(differences)), -margin, margin)[0]
    assert tests.p_equivalent == pytest.approx(theirs, rel=1e-9)
    assert paired(differences).p_t == pytest.approx(2 * min(tests.p_better, 1 - tests.p_better), rel=1e-9)


def test_equivalence_at_five_per_cent_is_a_ninety_per_cent_interval_within_the_margin() -> None:
    for differences in SAMPLES[2:]:
        one = Difference.of(differences)
        half = stats.t.ppf(0.95, one.n - 1) * one.std / math.sqrt(one.n)
        edge = max(abs(one.mean - half), abs(one.mean + half))
        assert margin_tests(differences, edge).p_equivalent == pytest.approx(0.05)


def test_without_a_margin_only_better_is_tested() -> None:
    tests, with_margin = margin_tests(SAMPLES[3], math.nan), margin_tests(SAMPLES[3], 0.01)
    assert tests.p_better == with_margin.p_better and math.isnan(tests.margin)
    assert all(map(math.isnan, (tests.p_not_worse, tests.p_worse, tests.p_equivalent)))


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a margin is not negative: -0\.1"):
        margin_tests([0.1, 0.2], -0.1)


@pytest.mark.parametrize(
    ("difference", "better", "not_worse", "worse", "equivalent"),
    [
        (0.0, 1, 2**-5, 1, 2**-5),
        (0.005, 2**-5, 2**-5, 1, 2**-5),
        (0.01, 2**-5, 2**-5, 1, 1),
        (0.02, 2**-5, 2**-5, 1, 1),
        (-0.01, 1, 1, 1, 1),
        (-0.02, 1, 1, 2**-5, 1),
    ],
)
def test_equal_differences_are_tested_by_their_signs(
    difference: float, better: float, not_worse: float, worse: float, equivalent: float
) -> None:
    tests = margin_tests(np.full(5, difference), 0.01)
    assert (tests.p_better, tests.p_not_worse) == (better, not_worse)
    assert (tests.p_worse, tests.p_equivalent) == (worse, equivalent)


@pytest.mark.parametrize("ps", [[0.01, 0.04, 0.03, 0.005], [0.2, 0.9, 0.6], [0.03], [0.02, 0.02, 0.02], [0.0, 1.0]])
def test_holms_correction_is_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1], rel=1e-12)


def test_tests_that_could_not_be_made_do_not_count_in_the_family() -> None:
    corrected = holm([0.01, math.nan, 0.04, math.nan])
    assert [corrected[0], corrected[2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(corrected[1]) and math.isnan(corrected[3])
    assert holm([]) == [] and all(map(math.isnan, holm([math.nan, math.nan])))


def test_p_of_many_samples_are_those_of_each() -> None:
    samples = np.random.default_rng(5).normal(0.5, 1, (6, 4, 3))
    samples[4:, 1] = samples[1:, 2, 0] = samples[:, 3, 0] = np.nan  # four seeds, one, and none
    samples[:, 0, 0] = 0.25
    for place in np.ndindex(4, 3):
        mine = samples[(slice(None), *place)]
        expected = paired(mine[np.isfinite(mine)]).p_t
        assert paired_p(samples)[place] == pytest.approx(expected, nan_ok=True, rel=1e-12), place
