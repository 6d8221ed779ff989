"""What items do to a metric against brute force, and the interval over seeds and items where its answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from analysis.statistics.items import crossed_interval, influence, item_variance
from analysis.statistics.paired import Difference
from suite.outcomes import Outcomes

RNG = np.random.default_rng(0)
ITEMS = 30
SCORES = RNG.normal(size=(2, ITEMS)).round(1)  # with ties
TRUTH = RNG.random((2, ITEMS)) < 0.4
GOLD = RNG.integers(0, 5, ITEMS).astype(float)
COUNTS = RNG.integers(0, 4, ITEMS)
Metric = Callable[..., float]


def spearman(values: np.ndarray, truth: np.ndarray) -> float:
    return float(stats.spearmanr(values, truth).statistic)


def area(values: np.ndarray, truth: np.ndarray) -> float:
    return float(roc_auc_score(truth, values))


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(np.average(values, weights=weights))


CASES = [
    (Outcomes("mean", SCORES[0]), mean),
    (Outcomes("mean", SCORES[0], weights=COUNTS), mean),
    (Outcomes("roc_auc", SCORES[0], TRUTH[0]), area),
    (Outcomes("roc_auc", SCORES[0], ~TRUTH[0]), area),
    (Outcomes("roc_auc", SCORES, TRUTH), area),
    (Outcomes("spearman", SCORES[0], GOLD), spearman),
    (Outcomes("spearman", GOLD, SCORES[0]), spearman),
]
IDS = ["mean", "weighted-mean", "auc", "auc-of-many-positives", "auc-of-parts", "spearman", "spearman-of-few-values"]


def copied(outcomes: Outcomes, metric: Metric, times: np.ndarray) -> float:
    """Return a metric, the mean over parts, of items that are there so many times."""
    arrays = {name: np.atleast_2d(np.repeat(array, times, axis=-1)) for name, array in outcomes.arrays().items()}
    parts = range(len(arrays["values"]))
    return float(np.mean([metric(**{name: array[part] for name, array in arrays.items()}) for part in parts]))


@pytest.mark.parametrize(("outcomes", "metric"), CASES, ids=IDS)
def test_the_influence_of_an_item_is_what_one_more_and_one_less_of_it_among_many_copies_make(
    outcomes: Outcomes, metric: Metric
) -> None:
    copies, found = 500, influence(outcomes)
    for item in range(ITEMS):
        more, less = np.full((2, ITEMS), copies)
        more[item] += 1
        less[item] -= 1
        expected = (copied(outcomes, metric, more) - copied(outcomes, metric, less)) * copies / 2
        assert found[item] == pytest.approx(expected, abs=1e-6)
    assert found.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("outcomes", [case[0] for case in CASES], ids=IDS)
def test_the_variance_is_that_of_resampled_items(outcomes: Outcomes) -> None:
    """Of twenty times as many items than there are: it is equal to first order in one over their number."""
    many = {name: np.repeat(array, 20, axis=-1) for name, array in outcomes.arrays().items()}
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(1500):
        some = rng.integers(many["values"].shape[-1], size=many["values"].shape[-1])
        drawn.append(Outcomes(outcomes.statistic, **{name: array[..., some] for name, array in many.items()}).value())
    found = item_variance(influence(Outcomes(outcomes.statistic, **many)))
    assert found == pytest.approx(np.var(drawn, ddof=1), rel=0.12)


def test_the_variance_of_a_mean_is_the_usual_one_and_that_of_an_area_delongs() -> None:
    values = RNG.normal(size=ITEMS)
    found = item_variance(influence(Outcomes("mean", values)))
    assert found == pytest.approx(values.var(ddof=1) / ITEMS, rel=1e-12)
    assert math.isnan(item_variance(influence(Outcomes("mean", values[:1]))))
    positives, negatives = SCORES[0][TRUTH[0]], SCORES[0][~TRUTH[0]]
    in_order = np.greater.outer(positives, negatives) + np.equal.outer(positives, negatives) / 2
    delong = in_order.mean(axis=1).var() / len(positives) + in_order.mean(axis=0).var() / len(negatives)
    found = item_variance(influence(Outcomes("roc_auc", SCORES[0], TRUTH[0])))
    assert found == pytest.approx(delong * ITEMS / (ITEMS - 1), rel=1e-12)


def test_what_orders_nothing_has_no_correlation_whatever_the_items() -> None:
    assert (influence(Outcomes("spearman", np.zeros(ITEMS), GOLD)) == 0).all()


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
    found = item_variance(np.mean([influence(Outcomes("mean", row)) for row in cells], axis=0))
    assert found == pytest.approx(cells.mean(axis=0).var(ddof=1) / items, rel=1e-12)


def test_the_pigeonhole_bootstrap_counts_the_interaction_once_more() -> None:
    seeds, items = 8, 200
    cells = RNG.normal(size=(seeds, items))  # nothing but interaction
    of_items = item_variance(np.mean([influence(Outcomes("mean", row)) for row in cells], axis=0))
    ours = cells.mean(axis=1).var(ddof=1) / seeds + of_items
    draws = []
    for _ in range(2000):
        some = cells[RNG.integers(0, seeds, seeds)][:, RNG.integers(0, items, items)]
        draws.append(some.mean())
    interaction = 1 / (seeds * items)
    assert np.var(draws) == pytest.approx(3 * interaction, rel=0.35)
    assert ours == pytest.approx(2 * interaction, rel=0.35)
