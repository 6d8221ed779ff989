"""The curve of a search against brute force over all subsets, its interval, and the trials that it takes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from analysis.statistics.budget import Curve, Scores, best_of, declared_first, price, random_search

TIED = {
    "distinct": [0.3, 0.1, 0.9, 0.4, 0.7, 0.2, 0.8],
    "ties": [0.3, 0.9, 0.9, 0.3, 0.7, 0.3, 0.9],
    "all equal": [0.5] * 7,
    "failures": [0.3, -math.inf, 0.9, -math.inf, 0.7, 0.9, -math.inf],
}
TEST = np.array([0.61, 0.52, 0.83, 0.27, 0.95, 0.11, 0.74])


def by_brute_force(validation: np.ndarray, test: np.ndarray, k: int) -> float:
    """Average over all subsets the test score of the first of those with the highest validation."""
    chosen = [max(subset, key=lambda i: (validation[i], -i)) for subset in itertools.combinations(range(len(test)), k)]
    return math.fsum(test[i] for i in chosen) / len(chosen)


@pytest.mark.parametrize("validation", TIED.values(), ids=TIED)
@pytest.mark.parametrize("k", range(1, 8))
def test_the_best_of_k_is_the_mean_over_all_subsets(validation: list[float], k: int) -> None:
    found = best_of(np.array(validation), TEST, k)
    assert found == pytest.approx(by_brute_force(np.array(validation), TEST, k), rel=1e-14)


def test_it_is_unbiased_where_drawing_with_replacement_is_too_low() -> None:
    """Tang et al.: the mean over samples of n is the expectation of the best of k."""
    rng = np.random.default_rng(0)
    validation = rng.random((40_000, 6))
    truth = 4 / 5  # of the best of four uniform ones
    assert best_of(validation, validation, 4).mean() == pytest.approx(truth, abs=0.002)
    ordered = np.sort(validation, axis=1)
    ranks = np.arange(7) / 6
    assert (ordered @ np.diff(ranks**4)).mean() < truth - 0.02  # Dodge et al.


def scores(validation: np.ndarray, test: np.ndarray) -> Scores:
    return Scores(validation, test)


def noisy(seed: int, configurations: int = 7, seeds: int = 3) -> Scores:
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(configurations, 1))
    return Scores(*(level + 0.2 * rng.normal(size=(configurations, seeds)) for _ in range(2)))


def test_no_seed_chooses_what_it_reports() -> None:
    drawn = noisy(0)
    curve = random_search(drawn)
    for k, left_out in itertools.product(range(1, 8), range(3)):
        others = [seed for seed in range(3) if seed != left_out]
        expected = by_brute_force(drawn.validation[:, others].mean(axis=1), drawn.test[:, left_out], k)
        assert curve.by_seed[k - 1, left_out] == pytest.approx(expected, rel=1e-12)
    assert curve.mean == pytest.approx(curve.by_seed.mean(axis=1))


def test_with_one_seed_that_seed_has_to_do_both() -> None:
    drawn = noisy(1, seeds=1)
    curve = random_search(drawn)
    assert curve.mean[2] == pytest.approx(by_brute_force(drawn.validation[:, 0], drawn.test[:, 0], 3))
    low, high = curve.interval()
    assert (low < curve.mean).all() and (curve.mean < high).all()


def test_the_declared_configuration_is_in_every_subset_of_a_search_that_begins_with_it() -> None:
    everything = noisy(2, 6)
    first, drawn = (Scores(everything.validation[part], everything.test[part]) for part in (slice(1), slice(1, None)))
    curve = declared_first(first, drawn)
    assert len(curve.mean) == 6
    for k, left_out in itertools.product(range(1, 7), range(3)):
        others = [seed for seed in range(3) if seed != left_out]
        validation, test = everything.validation[:, others].mean(axis=1), everything.test[:, left_out]
        subsets = [(0, *subset) for subset in itertools.combinations(range(1, 6), k - 1)]
        chosen = [max(subset, key=lambda i: (validation[i], -i)) for subset in subsets]
        assert curve.by_seed[k - 1, left_out] == pytest.approx(float(np.mean(test[chosen])), rel=1e-12)


def test_what_equals_the_declared_configuration_on_validation_does_not_replace_it() -> None:
    same = np.full((5, 2), 0.5)
    curve = declared_first(Scores(same[:1], np.full((1, 2), 0.6)), Scores(same[1:], np.full((4, 2), 0.9)))
    assert curve.mean == pytest.approx(np.full(5, 0.6))


def test_a_configuration_is_not_chosen_by_seeds_with_which_it_failed() -> None:
    drawn = noisy(3, 4)
    validation, test = drawn.validation.copy(), drawn.test.copy()
    validation[:2, 1], test[:2] = -math.inf, -9.0
    curve = random_search(Scores(validation, test))
    assert curve.by_seed[2:, [0, 2]].min() > -9  # of three at least one did not fail
    assert curve.by_seed[0, 0] < curve.by_seed[2, 0]


def test_one_or_few_configurations_have_no_interval_over_configurations() -> None:
    for configurations in (1, 2, 3):
        low, high = random_search(noisy(4, configurations)).interval()
        assert np.isnan(low).all() and np.isnan(high).all()
    first, few = noisy(5, 1), noisy(6, 2)
    low, _ = declared_first(first, few).interval()
    assert not math.isnan(low[0]) and np.isnan(low[1:]).all()  # the declared one needs no search


def test_equal_scores_have_an_interval_without_width() -> None:
    low, high = random_search(Scores(np.full((5, 3), 0.5), np.full((5, 3), 0.7))).interval()
    assert low == pytest.approx(np.full(5, 0.7)) and high == pytest.approx(low)


def rising(means: list[float], noise: float, seeds: int = 3) -> Curve:
    deviations = np.linspace(-noise, noise, seeds)
    return Curve(np.array(means)[:, None] + deviations, np.zeros(len(means)), 7)


def test_the_price_is_the_first_number_of_trials_that_reaches_the_score() -> None:
    found = price(rising([-0.3, -0.1, 0.0, 0.2], 1e-9))
    assert (found.trials, found.low, found.high) == (3, 3, 4) and found.text == "3 [3, 4]"


def test_a_price_of_one_and_one_above_the_budget() -> None:
    assert price(rising([0.1, 0.2], 1e-6)).text == "1 [1, 1]"
    assert price(rising([-0.2, -0.1], 1e-6)).text == "> 2 [> 2, > 2]"


def test_noise_widens_the_interval_of_a_price() -> None:
    assert price(rising([-0.3, -0.1, 0.05, 0.2], 0.2)).text == "3 [1, > 4]"


def test_a_price_without_an_interval_says_its_number_alone() -> None:
    assert price(Curve(np.array([[-0.1], [0.2]]), np.full(2, math.nan), 2)).text == "2"


def test_a_level_is_subtracted_seed_by_seed() -> None:
    """What a seed does to all alike is not noise of a difference."""
    shared = np.array([-0.4, 0.1, 0.3])
    drawn = Scores(np.zeros((5, 3)), np.arange(5)[:, None] + np.zeros((5, 3)) + shared)
    difference = random_search(drawn).minus(shared)
    assert difference.by_seed.std(axis=1) == pytest.approx(np.zeros(5))


@pytest.mark.parametrize("level", [0.1, 0.7, 0.83, 0.95])
def test_what_scores_as_the_other_loss_with_every_configuration_has_the_price_1(level: float) -> None:
    for configurations in range(4, 13):
        drawn = Scores(np.random.default_rng(0).random((configurations, 3)), np.full((configurations, 3), level))
        found = price(random_search(drawn).minus(np.full(3, level)))
        assert found.text == "1 [1, 1]", configurations
