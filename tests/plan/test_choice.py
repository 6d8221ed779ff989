"""Which trial validation chooses."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.plan.choice import best_trial

SCORE = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
LAYOUT = st.integers(1, 4).flatmap(lambda seeds: st.lists(st.lists(SCORE, min_size=seeds, max_size=seeds), min_size=1))


@given(LAYOUT)
def test_the_highest_mean_is_chosen_and_of_equals_the_first(scores: list[list[float]]) -> None:
    best = best_trial(scores)
    exact = [sum(map(Fraction, trial)) / len(trial) for trial in scores]
    assert float(max(exact)) == pytest.approx(best.mean)
    assert exact[best.trial] >= max(exact[: best.trial], default=exact[best.trial])
    assert all(later > best.trial for later in best.tied)


def test_a_tie_goes_to_the_lower_trial_and_is_said() -> None:
    best = best_trial([[1.0, 2.0], [3.0, 2.0], [2.0, 3.0], [2.5, 2.5], [0.0, 0.0]])
    assert (best.trial, best.mean, best.tied) == (1, 2.5, (2, 3))


def test_a_failed_run_is_the_worst_there_is() -> None:
    assert best_trial([[-5.0, -6.0], [100.0, -math.inf]]).trial == 0
    assert best_trial([[1.0, -math.inf], [-9.0, -9.0]]).trial == 1
    assert best_trial([[-math.inf], [-math.inf]]).trial == 0


@pytest.mark.parametrize("scores", [[], [[]], [[1.0], [1.0, 2.0]], [[1.0], [math.nan]]], ids=str)
def test_nothing_is_chosen_while_a_score_is_missing(scores: list[list[float]]) -> None:
    with pytest.raises(ValueError):
        best_trial(scores)
