import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.paired import Difference, block_test

RNG = np.random.default_rng(0)
# Montgomery, Design and Analysis of Experiments, 8th ed., table 4.3: yield of vascular grafts by extrusion pressure
# (rows) and batch of resin (columns); table 4.4: F = 8.11, p = 0.0019, mean square of the error 7.33.
GRAFTS = np.array(
    [
        [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
        [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
        [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
        [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
    ]
)


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    first, second = (pd.Series(RNG.normal(size=6)) for _ in range(2))
    one = Difference.between(first, second)
    theirs = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (one.low, one.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert (one.n, one.mean, one.std) == pytest.approx((6, (first - second).mean(), (first - second).std()), rel=1e-12)


def test_differences_are_paired_by_seed_and_other_seeds_do_not_count() -> None:
    first = pd.Series([3.0, 1.0, 7.0], index=[2, 0, 9])
    second = pd.Series([1.0, 1.5, 100.0], index=[0, 2, 5])
    one = Difference.between(first, second)
    assert (one.n, one.mean, one.std) == pytest.approx((2, 0.75, 1.5 / math.sqrt(2)))


def test_one_difference_has_no_interval_and_none_has_no_mean() -> None:
    one, none = Difference.of(np.array([0.5])), Difference.of(np.array([]))
    assert (one.n, one.mean) == (1, 0.5) and math.isnan(one.std) and one.excludes_zero(1.0) is None
    assert none.n == 0 and math.isnan(none.mean) and none.excludes_zero(-1.0) is None


def test_an_interval_excludes_zero_on_the_better_side_only() -> None:
    above = Difference.of(np.array([1.0, 1.1, 0.9]))
    wide = Difference.of(np.array([-3.0, 1.0, 4.0]))
    assert (above.excludes_zero(1.0), above.excludes_zero(-1.0)) == (True, False)
    assert (wide.excludes_zero(1.0), wide.excludes_zero(-1.0)) == (False, False)


def test_the_block_test_gives_the_textbooks_figures() -> None:
    test = block_test(GRAFTS)
    assert (round(test.f, 2), round(test.p, 4), round(test.residual_std**2, 2)) == (8.11, 0.0019, 7.33)
    assert (test.settings_df, test.residual_df) == (3, 15)


@pytest.mark.parametrize("shape", [(8, 3), (2, 2), (3, 5)])
def test_the_block_test_compares_least_squares_fits_with_and_without_the_setting(shape: tuple[int, int]) -> None:
    layout = RNG.normal(0.8, 0.01, shape)
    setting, seed = (index.ravel() for index in np.indices(shape))
    seeds = np.eye(shape[1])[seed]
    both = np.hstack([seeds, np.eye(shape[0])[setting]])

    def unexplained(design: np.ndarray) -> float:
        fitted = design @ np.linalg.lstsq(design, layout.ravel(), rcond=None)[0]
        return float(((layout.ravel() - fitted) ** 2).sum())

    test = block_test(layout)
    noise = unexplained(both) / test.residual_df
    assert test.residual_std == pytest.approx(math.sqrt(noise), rel=1e-9)
    assert test.f == pytest.approx((unexplained(seeds) - unexplained(both)) / test.settings_df / noise, rel=1e-9)


def test_without_an_effect_p_is_below_a_twentieth_in_a_twentieth_of_the_layouts() -> None:
    layouts = RNG.normal(size=(2000, 8, 3)) + 5 * RNG.normal(size=(2000, 1, 3))
    ps = np.array([block_test(layout).p for layout in layouts])
    assert stats.binomtest(int((ps < 0.05).sum()), len(ps), 0.05).pvalue > 0.01


def test_layouts_without_noise_or_effect_are_told_apart() -> None:
    seeds = np.array([[0.1, 0.7, 0.3]])
    only_seeds = block_test(np.repeat(seeds, 4, axis=0))
    assert math.isnan(only_seeds.f) and math.isnan(only_seeds.p) and only_seeds.residual_std == 0.0
    additive = block_test(seeds + np.array([[0.1], [0.2]]))
    assert additive.f == math.inf and additive.p == 0.0


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (1, 1)])
def test_one_setting_or_one_seed_leaves_nothing_to_test(shape: tuple[int, int]) -> None:
    test = block_test(np.ones(shape))
    assert math.isnan(test.f) and math.isnan(test.p) and math.isnan(test.residual_std)
