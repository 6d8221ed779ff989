"""The recommendation benchmark's metrics, over the whole catalogue and over samples of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from suite.benchmarks.recommendation.evaluate import over_users, ranking_gains, sample_negatives, sampled_gains

# --- metrics ---------------------------------------------------------------------------------------------------------


def plain_metrics(scores: list[float], target: int, excluded: list[bool], k: int) -> tuple[float, float]:
    """HR@k and NDCG@k of one user by enumerating every order of the items that score as the target does."""
    rivals = [item for item in range(len(scores)) if item != target and not excluded[item]]
    above = [item for item in rivals if scores[item] > scores[target]]
    tied = [target, *(item for item in rivals if scores[item] == scores[target])]
    hits, gains = [], []
    for order in itertools.permutations(tied):
        rank = 1 + [*above, *order].index(target)
        hits.append(float(rank <= k))
        gains.append(1 / math.log2(1 + rank) if rank <= k else 0.0)
    return float(np.mean(hits)), float(np.mean(gains))


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 2), min_size=6, max_size=6),
            st.integers(0, 5),
            st.lists(st.booleans(), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 7),
)
def test_metrics_equal_an_enumeration_of_all_orders(users: list[tuple[list[int], int, list[bool]]], k: int) -> None:
    expected = np.mean([plain_metrics([float(s) for s in scores], t, x, k) for scores, t, x in users], axis=0)
    scores, target, excluded = (torch.tensor(list(column)) for column in zip(*users, strict=True))
    got = over_users([ranking_gains(scores.float(), target, excluded, [k])])
    assert [got[f"hr_{k}"], got[f"ndcg_{k}"]] == pytest.approx(expected.tolist(), abs=1e-12)


def test_an_oracle_scores_one_and_a_worst_scorer_nothing() -> None:
    target = torch.tensor([3, 7])
    scores = torch.nn.functional.one_hot(target, 40).float()
    nothing = torch.zeros(2, 40, dtype=torch.bool)
    assert set(over_users([ranking_gains(scores, target, nothing)]).values()) == {1.0}
    assert set(over_users([ranking_gains(-scores, target, nothing)]).values()) == {0.0}


def test_a_diverged_model_does_not_score() -> None:
    scores, nothing = torch.full((2, 40), torch.nan), torch.zeros(2, 40, dtype=torch.bool)
    with pytest.raises(ValueError, match="not finite"):
        ranking_gains(scores, torch.tensor([1, 2]), nothing)


def test_users_in_parts_score_as_all_at_once() -> None:
    draw = np.random.default_rng(0)
    scores, target = torch.from_numpy(draw.random((30, 40))), torch.from_numpy(draw.integers(0, 40, 30))
    excluded = torch.from_numpy(draw.random((30, 40)) < 0.3)
    whole = over_users([ranking_gains(scores, target, excluded)])
    parts = [ranking_gains(scores[rows], target[rows], excluded[rows]) for rows in (slice(0, 13), slice(13, None))]
    assert over_users(parts) == whole
    assert np.array_equal(over_users(parts).outcomes["hr_5"].values, whole.outcomes["hr_5"].values)


# --- sampled metrics -------------------------------------------------------------------------------------------------


def test_negatives_are_as_many_as_asked_for_and_none_is_excluded() -> None:
    draw = np.random.default_rng(0)
    excluded = torch.from_numpy(draw.random((200, 40)) < 0.4)
    negatives = sample_negatives(torch.ones(40), excluded, 10, draw)
    assert (negatives.sum(dim=1) == 10).all()
    assert not (negatives & excluded).any()


def test_all_negatives_are_taken_where_there_are_too_few() -> None:
    excluded = torch.zeros(5, 8, dtype=torch.bool)
    excluded[:, 2] = True
    weights = torch.tensor([1, 5, 3, 0, 2, 0, 9, 1])
    for count in (5, 8, 100):
        negatives = sample_negatives(weights, excluded, count, np.random.default_rng(0))
        assert negatives.tolist() == [[True, True, False, False, True, False, True, True]] * 5


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 0]])
def test_a_negative_is_drawn_in_proportion_to_its_weight_and_the_next_among_the_rest(weights: list[int]) -> None:
    users, open_to_all = 20_000, torch.zeros(20_000, 6, dtype=torch.bool)
    one, two = (
        sample_negatives(torch.tensor(weights), open_to_all, count, np.random.default_rng(count)).sum(dim=0).numpy()
        for count in (1, 2)
    )
    share = np.array(weights) / sum(weights)
    second = [sum(share[j] * share[i] / (1 - share[j]) for j in range(6) if j != i) for i in range(6)]
    drawn = share > 0
    assert (one[~drawn] == 0).all()
    assert stats.chisquare(one[drawn], users * share[drawn]).pvalue > 1e-3
    np.testing.assert_allclose(two / users, share + second, atol=4 * 0.5 / math.sqrt(users))


def test_sampled_metrics_rank_the_target_among_the_negatives() -> None:
    draw = np.random.default_rng(0)
    scores = torch.from_numpy(draw.random((30, 400)))
    target = torch.from_numpy(draw.integers(0, 400, 30))
    excluded = torch.from_numpy(draw.random((30, 400)) < 0.3)
    got = over_users([sampled_gains(scores, target, excluded, torch.ones(400), np.random.default_rng(7))])
    rivals = excluded.scatter(1, target[:, None], True)
    negatives = sample_negatives(torch.ones(400), rivals, 100, np.random.default_rng(7))
    rank = [
        1 + sum(scores[user, item] > scores[user, target[user]] for item in negatives[user].nonzero()[:, 0].tolist())
        for user in range(30)
    ]
    assert set(got) == {f"{kind}_{k}" for kind in ("hr", "ndcg") for k in (1, 5, 10)}
    for k in (1, 5, 10):
        assert got[f"hr_{k}"] == pytest.approx(np.mean([r <= k for r in rank]))
        assert got[f"ndcg_{k}"] == pytest.approx(np.mean([(r <= k) / math.log2(1 + r) for r in rank]))
