"""Roles kept small give what the two matrices give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from suite.pairs.roles import ColumnRoles, DenseRoles, LabelRoles, Roles, joined, no_strangers

FILL = -7.0


def matrices(roles: Roles) -> DenseRoles:
    return DenseRoles(roles.positive, roles.candidate)


def assert_reductions_equal(roles: Roles, reference: Roles, values: Tensor) -> None:
    for name in ("positive", "candidate"):
        assert torch.equal(getattr(roles, name), getattr(reference, name)), name
    assert roles.positives().tolist() == reference.positives().tolist()
    assert roles.negatives().tolist() == reference.negatives().tolist()
    torch.testing.assert_close(roles.positive_mean(values), reference.positive_mean(values), rtol=1e-14, atol=1e-14)
    for name in ("without_strangers", "only_candidates", "only_negatives"):
        assert torch.equal(getattr(roles, name)(values, FILL), getattr(reference, name)(values, FILL)), name


@st.composite
def column_roles(draw: st.DrawFn) -> ColumnRoles:
    candidates = draw(st.integers(2, 7))
    anchors = draw(st.integers(1, 6))
    few = draw(st.integers(0, min(2, candidates - 1)))
    order = torch.stack([torch.tensor(draw(st.permutations(range(candidates)))) for _ in range(anchors)])
    strangers = order[:, 1 : 1 + few] if few else no_strangers(order[:, 0])
    return ColumnRoles(order[:, 0], strangers, candidates, draw(st.booleans()))


@st.composite
def label_roles(draw: st.DrawFn) -> LabelRoles:
    labels = torch.tensor(draw(st.lists(st.integers(0, 3), min_size=1, max_size=8)))
    return LabelRoles(labels, torch.arange(len(labels)), labels)


@settings(max_examples=60)
@given(roles=st.one_of(column_roles(), label_roles()), seed=st.integers(0, 99), data=st.data())
def test_every_reduction_equals_that_of_the_matrices_for_all_rows_and_for_some(
    roles: Roles, seed: int, data: st.DataObject
) -> None:
    reference = matrices(roles)
    values = torch.randn(roles.positive.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert_reductions_equal(roles, reference, values)
    start = data.draw(st.integers(0, len(values) - 1))
    stop = data.draw(st.integers(start + 1, len(values)))
    assert_reductions_equal(roles.rows(start, stop), reference.rows(start, stop), values[start:stop])


def test_the_reductions_of_matrices_are_what_their_names_say() -> None:
    positive = torch.tensor([[True, True, False, False], [False, False, False, False]])
    candidate = torch.tensor([[False, True, True, False], [True, True, True, False]])
    roles = DenseRoles(positive, candidate)
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert roles.positives().tolist() == [2, 0]
    assert roles.negatives().tolist() == [1, 3]
    assert roles.positive_mean(values).tolist() == [1.5, 0.0]
    assert roles.without_strangers(values, FILL).tolist() == [[1.0, 2.0, 3.0, FILL], [5.0, 6.0, 7.0, FILL]]
    assert roles.only_candidates(values, FILL).tolist() == [[FILL, 2.0, 3.0, FILL], [5.0, 6.0, 7.0, FILL]]
    assert roles.only_negatives(values, FILL).tolist() == [[FILL, FILL, 3.0, FILL], [5.0, 6.0, 7.0, FILL]]


@pytest.mark.parametrize("in_denominator", [True, False])
def test_a_columns_positive_is_a_candidate_only_in_the_denominator(in_denominator: bool) -> None:
    roles = ColumnRoles(torch.tensor([1, 0]), torch.tensor([[0], [2]]), 3, in_denominator)
    assert roles.is_single
    assert roles.positive.tolist() == [[False, True, False], [True, False, False]]
    assert roles.candidate.tolist() == [[False, in_denominator, True], [in_denominator, True, False]]


def test_labels_make_positives_of_others_with_the_same_label_wherever_the_anchor_stands() -> None:
    labels = torch.tensor([4, 9, 4, 4, 1])
    roles = LabelRoles(labels[[3, 1]], torch.tensor([3, 1]), labels)
    assert roles.positive.tolist() == [[True, False, True, False, False], [False] * 5]
    assert roles.candidate.tolist() == [[True, True, True, False, True], [True, False, True, True, True]]
    assert roles.positives().tolist() == [2, 0]
    assert not roles.is_single


def test_groups_of_anchors_are_joined_one_below_the_other() -> None:
    first = ColumnRoles(torch.tensor([0, 1]), no_strangers(torch.tensor([0, 1])), 3)
    second = ColumnRoles(torch.tensor([2]), no_strangers(torch.tensor([2])), 3)
    both = joined([first, second])
    assert torch.equal(both.positive, torch.cat([first.positive, second.positive]))
    assert torch.equal(both.candidate, torch.cat([first.candidate, second.candidate]))


def test_masking_passes_a_gradient_to_what_is_kept_and_none_to_what_is_filled() -> None:
    column = torch.tensor([1, 0])
    for roles in (
        ColumnRoles(column, torch.tensor([[0], [1]]), 3),
        LabelRoles(torch.tensor([0, 0, 1]), torch.arange(3), torch.tensor([0, 0, 1])),
    ):
        for mask in (roles.without_strangers, roles.only_candidates, roles.only_negatives):
            values = torch.ones(roles.positive.shape, requires_grad=True)
            filled = mask(values, FILL)
            filled.sum().backward()
            assert values.grad is not None
            assert torch.equal(values.grad, (filled != FILL).float())
