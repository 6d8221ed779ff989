import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats.power import TTestPower

from suite.plan.power import (
    SEEDS_LIMIT,
    Sides,
    detectable,
    noncentral_t_cdf,
    power,
    seeds_for_p,
    seeds_needed,
    smallest_flip_p,
)

ALTERNATIVE: dict[Sides, str] = {1: "larger", 2: "two-sided"}


@pytest.mark.parametrize(("n", "p"), [(0, 1.0), (1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_the_smallest_flip_p_is_that_of_differences_of_one_sign(n: int, p: float) -> None:
    sums = [abs(sum(signs)) for signs in itertools.product([-1, 1], repeat=n)]
    assert smallest_flip_p(n) == p == np.mean(np.array(sums) >= n)


@pytest.mark.parametrize(("methods", "seeds"), [(2, 6), (4, 8), (6, 10), (8, 11)])
def test_all_pairs_of_methods_need_this_many_seeds_before_anything_can_be_rejected(methods: int, seeds: int) -> None:
    assert seeds_for_p(0.05, math.comb(methods, 2)) == seeds


def test_a_p_that_equals_the_level_is_enough() -> None:
    assert seeds_for_p(0.0625, 1) == 5 and seeds_for_p(0.125, 2) == 5 and seeds_for_p(0.0624, 1) == 6


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_power_is_that_of_statsmodels(sides: Sides, alpha: float) -> None:
    for n, effect in itertools.product([2, 3, 5, 10, 40], [0.0, 0.1, 0.5, 1.0, 3.0]):
        theirs = TTestPower().power(effect, n, alpha, alternative=ALTERNATIVE[sides])
        if not math.isnan(theirs):
            assert power(n, effect * 0.02, 0.02, alpha, sides) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("n", "effect", "alpha"), [(10, 3.0, 0.05), (10, 3.0, 0.001), (40, 1.0, 0.001)])
def test_power_is_that_of_the_likelier_side_where_statsmodels_gives_nan(n: int, effect: float, alpha: float) -> None:
    assert math.isnan(TTestPower().power(effect, n, alpha))
    one_side = TTestPower().power(effect, n, alpha / 2, alternative="larger")
    assert power(n, effect, 1.0, alpha) == pytest.approx(one_side, rel=1e-9)


@pytest.mark.parametrize("df", [1, 2, 4, 30])
def test_the_noncentral_t_is_the_integral_of_its_definition(df: int) -> None:
    nodes, weights = special.roots_legendre(300)
    largest = stats.chi.isf(1e-14, df)
    scale = (nodes + 1) / 2 * largest
    density = weights / 2 * largest * stats.chi.pdf(scale, df)
    for t, noncentrality in itertools.product([-3.0, 0.1, 2.0, 13.0], [-60.0, -3.0, 0.0, 2.0, 10.0, 39.0, 60.0]):
        expected = np.sum(density * special.ndtr(t * scale / math.sqrt(df) - noncentrality))
        assert noncentral_t_cdf(t, df, noncentrality) == pytest.approx(expected, abs=1e-7)


def test_fewer_than_two_seeds_have_no_power_and_detect_nothing() -> None:
    assert power(0, 1.0, 1.0) == power(1, 1.0, 0.0) == 0.0
    assert detectable(0, 1.0) == detectable(1, 0.0) == math.inf


def test_without_spread_any_shift_is_detected() -> None:
    assert (power(2, 1e-9, 0.0), power(2, -1e-9, 0.0), power(2, -1e-9, 0.0, sides=1)) == (1.0, 1.0, 0.0)
    assert power(2, 0.0, 0.0, alpha=0.03) == pytest.approx(0.03, rel=1e-9)
    assert seeds_needed(0.0, 0.01) == 2 and detectable(2, 0.0) == 0.0


def test_what_is_not_known_stays_unknown() -> None:
    assert math.isnan(power(5, math.nan, 1.0)) and math.isnan(power(5, 1.0, math.nan))
    assert seeds_needed(math.nan, 1.0) is None and seeds_needed(1.0, math.nan) is None
    assert math.isnan(detectable(5, math.nan))


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("effect", [0.05, 0.3, 0.8, 1.0, 2.0, 50.0])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_the_seeds_needed_are_the_fewest_that_have_the_power(sides: Sides, effect: float, wanted: float) -> None:
    needed = seeds_needed(1.0, effect, wanted, sides=sides)
    assert needed == next(n for n in itertools.count(2) if power(n, effect, 1.0, sides=sides) >= wanted)


def test_more_seeds_than_the_limit_are_not_worth_a_number() -> None:
    edge = detectable(SEEDS_LIMIT, 1.0)
    assert seeds_needed(1.0, edge * (1 + 1e-9)) == SEEDS_LIMIT
    assert seeds_needed(1.0, edge * 0.999) is None


@pytest.mark.parametrize("sides", [1, 2])
def test_the_detectable_shift_is_the_one_that_has_the_power(sides: Sides) -> None:
    for n, wanted in itertools.product([2, 3, 5, 20], [0.1, 0.5, 0.8, 0.99]):
        assert power(n, detectable(n, 0.02, wanted, sides=sides), 0.02, sides=sides) == pytest.approx(wanted, abs=1e-9)
    assert detectable(5, 0.02, power=0.05, sides=sides) == 0.0


def test_nonsense_is_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"alpha is between 0 and 1, not 0; .*negative: -1.*; .*1 or 2 sides, not 3"):
        power(5, 1.0, -1.0, 0, sides=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="power is between 0 and 1, not 80"):
        seeds_needed(1.0, 1.0, power=80)
    with pytest.raises(ValueError, match="a margin is positive, not 0"):
        seeds_needed(1.0, 0.0)
    with pytest.raises(ValueError, match="at least one test, not 0"):
        seeds_for_p(0.05, 0)


def test_planning_loads_neither_scipy_stats_nor_pandas() -> None:
    code = "import sys, suite.plan.power; sys.exit(any(name in sys.modules for name in ('scipy.stats', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
