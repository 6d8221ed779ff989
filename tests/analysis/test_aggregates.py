import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.aggregates import hierarchical_bootstrap, improvement, interquartile_mean, profile_of
from analysis.statistics.best import may_be_best
from analysis.statistics.seeds import needed
from suite.plan.power import seeds_needed

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [4, 8, 20])
def test_the_interquartile_mean_is_scipys_trimmed_mean(n: int) -> None:
    values = RNG.normal(size=(3, n))
    assert interquartile_mean(values) == pytest.approx([stats.trim_mean(row, 0.25) for row in values])


def test_of_five_values_a_quarter_of_the_second_and_fourth_is_cut() -> None:
    assert interquartile_mean(np.array([9.0, 1.0, 2.0, 4.0, -7.0])) == pytest.approx((0.75 * 1 + 2 + 0.75 * 4) / 2.5)


def test_robust_figures_are_those_of_the_benchmarks_means_and_have_an_interval_from_four_on() -> None:
    values = {name: RNG.normal(mean, 0.1, 5) for name, mean in zip("abcde", (0, 0.1, 0.2, 0.3, -30), strict=True)}
    found = hierarchical_bootstrap(values)
    means = [each.mean() for each in values.values()]
    assert found.median.value == pytest.approx(np.median(means))
    assert found.median.low <= found.median.value <= found.median.high
    few = hierarchical_bootstrap({name: values[name] for name in "abc"})
    assert not few.has_interval and math.isnan(few.median.low) and math.isfinite(few.middle.value)


def test_the_probability_of_improvement_is_mann_whitneys_share() -> None:
    pairs = [(RNG.normal(0.5, 1, 6), RNG.normal(0, 1, 5)) for _ in range(3)]
    expected = [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in pairs]
    assert improvement(pairs) == pytest.approx(np.mean(expected))
    assert improvement([(np.ones(3), np.ones(2))]) == 0.5 and math.isnan(improvement([]))


def test_a_profile_falls_from_one_to_the_share_of_the_best() -> None:
    found = profile_of({"a": [0.0, 1.0], "b": [1.0]})
    assert found.at.tolist() == [0.0, 1.0]
    assert found.share.tolist() == [1.0, 0.75]
    with pytest.raises(ValueError, match="no differences"):
        profile_of({})


def test_the_band_of_a_profile_resamples_seeds_within_benchmarks() -> None:
    values = {name: RNG.normal(size=6) for name in "abc"}
    found = profile_of(values)
    draws = np.random.default_rng(1)
    shares = np.array(
        [
            np.mean([(draws.choice(each, 6)[:, None] >= found.at).mean(axis=0) for each in values.values()], axis=0)
            for _ in range(2000)
        ]
    )
    np.testing.assert_allclose(found.low, np.quantile(shares, 0.025, axis=0), atol=0.06)
    np.testing.assert_allclose(found.high, np.quantile(shares, 0.975, axis=0), atol=0.06)
    assert (found.low <= found.share).all() and (found.share <= found.high).all()
    assert found.low[0] == found.high[0] == 1.0


def test_seeds_needed_have_the_interval_of_the_noise() -> None:
    found = needed(0.02, 5, 0.01, 0.005)
    assert found is not None and found.seeds == seeds_needed(0.02, 0.01, 0.8, 0.005, sides=1)
    low, high = (0.02 * math.sqrt(4 / stats.chi2.ppf(p, 4)) for p in (0.975, 0.025))
    assert (found.low, found.high) == tuple(seeds_needed(std, 0.01, 0.8, 0.005, sides=1) for std in (low, high))
    assert needed(0.0, 5, 0.01, 0.005) is None and needed(0.02, 1, 0.01, 0.005) is None


def test_the_bold_set_leaves_out_what_another_surely_beats() -> None:
    base = RNG.normal(size=6)
    scores = np.column_stack([base + 1, base + 1 + RNG.normal(0, 0.01, 6), base])
    assert may_be_best(scores).tolist() == [True, True, False]
    assert may_be_best(np.ones((4, 3))).all() and may_be_best(np.ones((1, 1))).all()
    assert may_be_best(np.column_stack([base, base - 0.1])).tolist() == [True, False], "without noise the order is sure"
    assert not may_be_best(np.ones((1, 2))).any()
