"""A loss that is computed in blocks of anchors is the loss that is computed at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from suite.losses import Loss
from suite.pairs import Pairs
from tests.losses.cases import CASES, PAIR_TYPES, SUPPORTED, Case, PairType, dense, embeddings


def outcome(loss: Loss, pair_type: PairType, rows: int | None) -> dict[str, Tensor]:
    """Value, gradients of embeddings and parameters, and buffers."""
    leaves = embeddings("random").leaves(torch.float64)
    pairs = pair_type.build(leaves)
    value = loss(pairs if rows is None else pairs.in_blocks(rows))
    (3 * value).backward()
    gradients = {name: p.grad for name, p in loss.named_parameters() if p.grad is not None}
    return {"value": value.detach(), "embeddings": leaves.gradients, **gradients, **dict(loss.named_buffers())}


@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize(("case", "pair_type"), SUPPORTED, ids=str)
def test_blocks_give_the_value_and_the_gradients_of_the_whole(case: Case, pair_type: PairType, rows: int) -> None:
    whole, blocks = (outcome(case.make(), pair_type, size) for size in (None, rows))
    assert whole.keys() == blocks.keys()
    for name, value in whole.items():
        torch.testing.assert_close(blocks[name], value, rtol=1e-11, atol=1e-11 * value.abs().max().item(), msg=name)


@pytest.mark.parametrize(("case", "pair_type"), SUPPORTED, ids=str)
def test_matrices_give_the_value_and_the_gradients_of_the_constructors(case: Case, pair_type: PairType) -> None:
    pairs = pair_type.build(embeddings("random"))
    results = []
    for form in (pairs, dense(pairs)):
        similarity = form.similarity.detach().clone().requires_grad_()
        of_form = Pairs.with_roles(similarity, form.roles, form.index)
        value = case.make()(of_form)
        results.append((value, *torch.autograd.grad(value, similarity)))
    for mine, matrices in zip(*results, strict=True):
        torch.testing.assert_close(matrices, mine, rtol=1e-9, atol=1e-12 * case.largest_logit)


@pytest.mark.parametrize("pair_type", PAIR_TYPES, ids=str)
def test_blocks_cover_all_anchors_once_with_their_roles(pair_type: PairType) -> None:
    pairs = pair_type.build(embeddings("random"))
    for rows in (1, 3, 4, 100):
        blocks = list(pairs.in_blocks(rows).blocks())
        assert max(len(block) for block in blocks) <= rows
        for field in ("similarity", "positive", "candidate", "index"):
            joined = torch.cat([getattr(block, field) for block in blocks])
            torch.testing.assert_close(joined, getattr(pairs, field), rtol=0, atol=1e-15)
        torch.testing.assert_close(pairs.in_blocks(rows).positive_similarity(), pairs.positive_similarity())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_diagnostics_do_not_depend_on_blocks(case: Case) -> None:
    pairs = PAIR_TYPES[0].build(embeddings("duplicate"))
    assert case.make().diagnostics(pairs.in_blocks(3)) == pytest.approx(case.make().diagnostics(pairs))


def test_blocks_can_be_evaluated_without_gradients() -> None:
    for case, pair_type in SUPPORTED:
        pairs = pair_type.build(embeddings("random"))
        with torch.no_grad():
            value = case.make()(pairs.in_blocks(3))
        assert not value.requires_grad
        torch.testing.assert_close(value, case.make()(pairs).detach(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["ISogCLR", "AdapTau"])
def test_a_state_moves_once_a_step_whatever_the_blocks(name: str) -> None:
    (case,) = (case for case in CASES if case.name == name)
    whole, blocks = case.make(), case.make()
    for seed in range(4):
        pairs = PAIR_TYPES[0].build(embeddings("random", seed))
        torch.testing.assert_close(blocks(pairs.in_blocks(3)), whole(pairs), rtol=1e-11, atol=0)
    for name, state in whole.named_buffers():
        torch.testing.assert_close(blocks.get_buffer(name), state, rtol=1e-11, atol=0)
