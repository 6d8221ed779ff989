"""Resampled items against brute force, and the interval over seeds and items where its answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from analysis.statistics.items import crossed_interval, item_variance, item_weights, resampled
from analysis.statistics.paired import Difference
from suite.outcomes import Outcomes

RNG = np.random.default_rng(0)
ITEMS = 30
SCORES = RNG.normal(size=(2, ITEMS)).round(1)  # with ties
TRUTH = RNG.random((2, ITEMS)) < 0.4
GOLD = RNG.integers(0, 5, ITEMS).astype(float)
WEIGHTS = item_weights(ITEMS, 50)


def drawn(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.repeat(values, weights, axis=-1)


def test_resamples_are_draws_with_replacement_of_as_many_items() -> None:
    assert (WEIGHTS.sum(axis=1) == ITEMS).all()
    assert item_weights(ITEMS) is item_weights(ITEMS)
    assert item_weights(2000).std() == pytest.approx(1.0, abs=0.01)


def test_means_of_resampled_items_are_those_of_the_copied_items() -> None:
    counts = RNG.integers(0, 4, ITEMS)
    found = resampled(Outcomes("mean", SCORES[0], weights=counts), WEIGHTS)
    expected = [np.average(drawn(SCORES[0], w), weights=drawn(counts, w)) for w in WEIGHTS]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("positives", [TRUTH, ~TRUTH], ids=["few-positives", "many-positives"])
def test_auc_of_resampled_items_is_that_of_the_copied_items(positives: np.ndarray) -> None:
    found = resampled(Outcomes("roc_auc", SCORES, positives), WEIGHTS)
    expected = [
        np.mean(
            [roc_auc_score(drawn(truth, w), drawn(scores, w)) for scores, truth in zip(SCORES, positives, strict=True)]
        )
        for w in WEIGHTS
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_rank_correlations_of_resampled_items_are_those_of_the_copied_items() -> None:
    found = resampled(Outcomes("spearman", SCORES[0], GOLD), WEIGHTS)
    expected = [stats.spearmanr(drawn(SCORES[0], w), drawn(GOLD, w)).statistic for w in WEIGHTS]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "outcomes",
    [Outcomes("mean", SCORES), Outcomes("roc_auc", SCORES, TRUTH), Outcomes("spearman", SCORES[0], GOLD)],
)
def test_every_item_once_gives_the_statistic_itself(outcomes: Outcomes) -> None:
    assert resampled(outcomes, np.ones((1, ITEMS)))[0] == pytest.approx(outcomes.value(), abs=1e-12)


@pytest.mark.parametrize(
    "outcomes",
    [Outcomes("mean", SCORES), Outcomes("roc_auc", SCORES, TRUTH), Outcomes("spearman", SCORES[0], GOLD)],
)
def test_no_more_weights_at_one_time_than_memory_allows(outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = resampled(outcomes, WEIGHTS)
    monkeypatch.setattr("analysis.statistics.items.AT_ONCE", 7 * ITEMS + 1)
    np.testing.assert_allclose(resampled(outcomes, WEIGHTS), at_once, rtol=1e-14)


def test_what_orders_nothing_has_no_correlation_and_what_lacks_a_class_no_auc() -> None:
    assert (resampled(Outcomes("spearman", np.zeros(ITEMS), GOLD), WEIGHTS) == 0).all()
    rare = np.arange(ITEMS) == 3
    found = resampled(Outcomes("roc_auc", SCORES[0], rare), WEIGHTS)
    assert (np.isnan(found) == (WEIGHTS[:, 3] == 0)).all()
    assert math.isfinite(item_variance(found))


def test_the_interval_is_that_over_seeds_where_items_do_not_matter_and_never_narrower() -> None:
    one = Difference.of(RNG.normal(0.3, 1, 5))
    assert crossed_interval(one.mean, one.std, 5, 0.0, 0.95) == pytest.approx((one.low, one.high))
    widths = [np.ptp(crossed_interval(one.mean, one.std, 5, v, 0.95)) for v in np.linspace(0, 3, 40)]
    assert widths[0] == pytest.approx(one.high - one.low)
    assert min(widths) >= widths[0] - 1e-12
    assert widths[-1] > 2 * widths[0]
    low, high = crossed_interval(0.0, 1e-9, 5, 1.0, 0.95)
    assert (low, high) == pytest.approx((stats.norm.ppf(0.025), stats.norm.ppf(0.975)))
    assert all(map(math.isnan, crossed_interval(one.mean, math.nan, 1, 0.1, 0.95)))
    assert crossed_interval(0.0, 0.0, 5, 0.0, 0.95) == (0.0, 0.0)


def test_variances_are_those_of_a_crossed_layout() -> None:
    """Of means in the model a_seed + b_item + e: the items' part is var(b) / items plus the e of all cells."""
    seeds, items = 6, 400
    cells = RNG.normal(size=(seeds, 1)) + 2 * RNG.normal(size=items) + 3 * RNG.normal(size=(seeds, items))
    weights = item_weights(items, 4000)
    found = item_variance(np.mean([resampled(Outcomes("mean", row), weights) for row in cells], axis=0))
    assert found == pytest.approx(cells.mean(axis=0).var() / items, rel=0.1)


def test_the_pigeonhole_bootstrap_counts_the_interaction_once_more() -> None:
    seeds, items = 8, 200
    cells = RNG.normal(size=(seeds, items))  # nothing but interaction
    of_items = item_variance(np.mean([resampled(Outcomes("mean", row), item_weights(items, 4000)) for row in cells], 0))
    ours = cells.mean(axis=1).var(ddof=1) / seeds + of_items
    draws = []
    for _ in range(2000):
        some = cells[RNG.integers(0, seeds, seeds)][:, RNG.integers(0, items, items)]
        draws.append(some.mean())
    interaction = 1 / (seeds * items)
    assert np.var(draws) == pytest.approx(3 * interaction, rel=0.35)
    assert ours == pytest.approx(2 * interaction, rel=0.35)
