"""Every loss on every pair type against plain loops: value and gradient."""

import pytest
import torch

from tests.losses.cases import KINDS, SUPPORTED, Case, PairType, assert_equal, embeddings, expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("case", "pair_type"), SUPPORTED, ids=str)
def test_value_and_gradient_equal_plain_loops_in_float64(case: Case, pair_type: PairType, kind: str) -> None:
    loss, given = case.make(), embeddings(kind)
    leaves = given.leaves(torch.float64)
    reference = expected(case, pair_type, given, loss)
    assert_equal(loss, loss(pair_type.build(leaves)), leaves, case, reference, relative=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("case", "pair_type"), SUPPORTED, ids=str)
def test_value_and_gradient_equal_plain_loops_in_float32(case: Case, pair_type: PairType, kind: str) -> None:
    loss, given = case.make().float(), embeddings(kind)
    leaves = given.leaves(torch.float32)
    pairs = pair_type.build(leaves)
    reference = expected(case, pair_type, given, loss, cosines=pairs.similarity.detach())
    assert_equal(loss, loss(pairs), leaves, case, reference, relative=1e-5)
