import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.pairs import normalise, two_view


def views(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=draw, dtype=dtype), torch.randn(n, d, generator=draw, dtype=dtype)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 7), d=st.integers(1, 5), seed=st.integers(0, 1000))
def test_two_view_is_the_cosine_of_every_pair_with_its_role(n: int, d: int, seed: int) -> None:
    z1, z2 = views(n, d, seed)
    pairs = two_view(z1, z2)
    pooled = torch.cat([z1, z2])
    for i in range(2 * n):
        for j in range(2 * n):
            cosine = (pooled[i] @ pooled[j]) / (pooled[i].norm() * pooled[j].norm())
            assert pairs.similarity[i, j] == pytest.approx(cosine.item(), abs=1e-12)
            assert pairs.candidate[i, j].item() == (i != j)
            assert pairs.positive[i, j].item() == (i != j and i % n == j % n)
    assert pairs.index.tolist() == [*range(n), *range(n)]


def test_the_samples_own_numbers_are_kept() -> None:
    pairs = two_view(*views(3, 4, 0), index=torch.tensor([7, 5, 9]))
    assert pairs.index.tolist() == [7, 5, 9, 7, 5, 9]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_similarities_are_float32_at_least_also_under_autocast(dtype: torch.dtype) -> None:
    z1, z2 = views(4, 8, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pairs = two_view(z1.to(dtype), z2.to(dtype))
    assert pairs.similarity.dtype == torch.float32
    exact = two_view(z1.to(dtype).double(), z2.to(dtype).double()).similarity
    torch.testing.assert_close(pairs.similarity.double(), exact, atol=1e-6, rtol=0)


def test_cosines_never_leave_their_range_and_a_zero_row_stays_zero() -> None:
    z = torch.full((3, 7), 0.1)
    z[1] = 0
    similarity = two_view(z, z).similarity
    assert similarity.abs().max() <= 1.0
    assert torch.equal(normalise(z)[1], torch.zeros(7))
    assert torch.equal(similarity[1], torch.zeros(6))


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((3,), (3,))])
def test_views_that_do_not_match_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        two_view(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
