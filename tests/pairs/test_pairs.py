"""Pairs are what their conventions say, pair by pair; and published formulas on them, written out."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from suite.losses import DCL, InfoNCE
from suite.pairs import EmbeddedPairs, cross_view, labelled, normalise, two_view, with_queue
from tests.losses import by_loops

TAU = 0.3


def views(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=draw, dtype=dtype), torch.randn(n, d, generator=draw, dtype=dtype)


def queue(rows: int, d: int, seed: int) -> Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)


# --- roles and cosines, pair by pair


def assert_pairs_equal(pairs: EmbeddedPairs, rows: list[by_loops.Row]) -> None:
    torch.testing.assert_close(pairs.similarity, by_loops.matrix(rows), rtol=0, atol=1e-12)
    assert pairs.positive.tolist() == [[column.positive for column in row.columns] for row in rows]
    assert pairs.candidate.tolist() == [[column.candidate for column in row.columns] for row in rows]
    assert pairs.index.tolist() == [row.sample for row in rows]
    assert len(pairs) == len(rows)


@settings(max_examples=30)
@given(n=st.integers(1, 6), d=st.integers(1, 5), seed=st.integers(0, 1000))
def test_constructors_give_the_cosine_of_every_pair_with_its_role(n: int, d: int, seed: int) -> None:
    z1, z2 = views(n, d, seed)
    assert_pairs_equal(two_view(z1, z2), by_loops.two_view(z1, z2))
    for symmetric in (False, True):
        for decoupled in (False, True):
            pairs = cross_view(z1, z2, symmetric=symmetric, decoupled=decoupled)
            assert_pairs_equal(pairs, by_loops.cross_view(z1, z2, symmetric, decoupled))
    earlier = queue(n + 2, d, seed)
    assert_pairs_equal(with_queue(z1, z2, earlier), by_loops.with_queue(z1, z2, earlier))
    labels = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))
    assert_pairs_equal(labelled(z1, labels), by_loops.labelled(z1, labels.tolist()))


def test_the_samples_own_numbers_are_kept() -> None:
    z1, z2 = views(3, 4, 0)
    index = torch.tensor([7, 5, 9])
    assert two_view(z1, z2, index).index.tolist() == [7, 5, 9, 7, 5, 9]
    assert cross_view(z1, z2, index).index.tolist() == [7, 5, 9]
    assert cross_view(z1, z2, index, symmetric=True).index.tolist() == [7, 5, 9, 7, 5, 9]
    assert with_queue(z1, z2, queue(2, 4, 0), index).index.tolist() == [7, 5, 9]
    assert labelled(z1, torch.zeros(3), index).index.tolist() == [7, 5, 9]


CONSTRUCTORS: dict[str, Callable[[Tensor, Tensor], EmbeddedPairs]] = {
    "two_view": two_view,
    "cross_view": cross_view,
    "cross_view_symmetric": lambda z1, z2: cross_view(z1, z2, symmetric=True),
    "with_queue": lambda z1, z2: with_queue(z1, z2, z2.detach().clone()),
    "labelled": lambda z1, z2: labelled(z1, torch.arange(len(z1)) % 2),
}


@pytest.mark.parametrize("build", CONSTRUCTORS.values(), ids=CONSTRUCTORS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_similarities_are_float32_at_least_also_under_autocast(
    build: Callable[[Tensor, Tensor], EmbeddedPairs], dtype: torch.dtype
) -> None:
    z1, z2 = (z.to(dtype) for z in views(4, 8, 0))
    with torch.autocast("cpu", dtype=torch.float16 if dtype == torch.float16 else torch.bfloat16):
        pairs = build(z1, z2)
        similarity = pairs.similarity
        blocks = torch.cat([block.similarity.float() for block in build(z1, z2).in_blocks(3).blocks()])
    assert similarity.dtype == torch.float32
    exact = build(z1.double(), z2.double()).similarity
    torch.testing.assert_close(similarity.double(), exact, atol=1e-6, rtol=0)
    torch.testing.assert_close(blocks.double(), exact, atol=1e-6, rtol=0)


def test_cosines_never_leave_their_range() -> None:
    z, _ = views(50, 3, 0, torch.float32)
    unit_rows = normalise(z)
    assert (unit_rows @ unit_rows.T).max() > 1, "these rows are here because rounding takes their cosines beyond 1"
    for other in (z, -z):
        for build in CONSTRUCTORS.values():
            pairs = build(z, other)
            assert pairs.similarity.abs().max() <= 1
            assert all(block.similarity.abs().max() <= 1 for block in pairs.in_blocks(7).blocks())
            assert pairs.positive_similarity().abs().max() <= 1


def test_a_zero_row_stays_zero() -> None:
    z = torch.full((3, 7), 0.1)
    z[1] = 0
    assert torch.equal(normalise(z)[1], torch.zeros(7))
    for build in CONSTRUCTORS.values():
        similarity = build(z, z).similarity
        assert torch.equal(similarity[1], torch.zeros(similarity.shape[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_scale_of_embeddings_changes_neither_directions_nor_what_their_gradient_is(dtype: torch.dtype) -> None:
    z, _ = views(5, 7, 0, dtype)
    powers = [-28, -13, 0, 19, 37] + ([-240, 300] if dtype == torch.float64 else [])
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=dtype)
    scaled = [(z * torch.tensor(10.0**power, dtype=dtype)).requires_grad_() for power in powers]
    rows = [normalise(s) for s in scaled]
    gradients = [
        torch.autograd.grad((r * weight).sum(), s)[0] * 10.0**power
        for r, s, power in zip(rows, scaled, powers, strict=True)
    ]
    tolerance = 16 * torch.finfo(dtype).eps
    for row, gradient in zip(rows, gradients, strict=True):
        torch.testing.assert_close(row, rows[2], rtol=0, atol=tolerance)
        torch.testing.assert_close(gradient, gradients[2], rtol=0, atol=tolerance * gradients[2].abs().max().item())


def test_scaling_by_powers_of_two_rounds_nothing() -> None:
    z, _ = views(5, 7, 0, torch.float32)
    for power in range(-96, 124):
        assert torch.equal(normalise(z * 2.0**power), torch.nn.functional.normalize(z, dim=1)), power


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_row_without_a_direction_gets_no_gradient_and_a_tiny_one_a_finite_one(dtype: torch.dtype) -> None:
    least = torch.finfo(dtype).max ** -0.8
    for length in (0.0, 0.5 * least, 2.0 * least, torch.finfo(dtype).smallest_normal):
        z = views(6, 4, 0)[0]
        z[1] = torch.tensor([length, 0.0, 0.0, 0.0], dtype=torch.float64)
        rows = z.to(dtype).requires_grad_()
        other = views(6, 4, 3)[0].to(dtype)
        InfoNCE(0.1)(two_view(rows, other)).backward()
        assert rows.grad is not None
        assert rows.grad.isfinite().all()
        assert rows.grad[[0, 2, 3, 4, 5]].any(dim=1).all()
        assert bool(rows.grad[1].any()) == (length > least), length


def test_nothing_that_is_not_finite_becomes_so() -> None:
    for wrong in (torch.nan, torch.inf, -torch.inf):
        z = torch.ones(2, 3)
        z[0, 1] = wrong
        assert not normalise(z)[0].isfinite().all()
        assert normalise(z)[1].isfinite().all()


def test_pairs_and_blocks_show_their_sizes() -> None:
    z1, z2 = views(3, 4, 0, torch.float32)
    pairs = two_view(z1, z2)
    assert repr(pairs) == (
        "EmbeddedPairs(anchors=6, candidates=6, dimensions=4, roles=ColumnRoles, dtype=torch.float32, device=cpu)"
    )
    (block,) = list(cross_view(z1, z2).in_blocks(2).blocks())[1:]
    assert repr(block) == "Pairs(anchors=1, candidates=3, roles=ColumnRoles, dtype=torch.float32, device=cpu)"


# --- published conventions, from their formulas


def unit(z: Tensor) -> Tensor:
    return z / z.norm(dim=1, keepdim=True)


def test_graces_semi_loss_in_both_directions_is_infonce_on_two_views() -> None:
    z1, z2 = views(6, 4, 0)

    def semi_loss(a: Tensor, b: Tensor) -> Tensor:
        within, between = (unit(a) @ unit(a).T / TAU).exp(), (unit(a) @ unit(b).T / TAU).exp()
        terms = []
        for i in range(len(a)):
            # the authors add the diagonal of `within` and subtract it again; it is left out here
            below = sum(between[i, j] + (within[i, j] if j != i else 0.0) for j in range(len(a)))
            terms.append(-(between[i, i] / below).log())
        return torch.stack(terms)

    expected = (0.5 * (semi_loss(z1, z2) + semi_loss(z2, z1))).mean()
    torch.testing.assert_close(InfoNCE(TAU)(two_view(z1, z2)), expected, rtol=1e-12, atol=0)


def test_graphcls_formula_is_infonce_decoupled_and_dcl_on_crossed_views() -> None:
    z1, z2 = views(6, 4, 1)
    similarity = (unit(z1) @ unit(z2).T / TAU).exp()
    terms = [-(similarity[i, i] / (similarity[i].sum() - similarity[i, i])).log() for i in range(6)]
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(InfoNCE(TAU)(cross_view(z1, z2, decoupled=True)), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(DCL(TAU)(cross_view(z1, z2)), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(DCL(TAU)(cross_view(z1, z2, decoupled=True)), expected, rtol=1e-12, atol=0)


def test_a_decoupled_loss_may_be_negative() -> None:
    z = torch.eye(3, dtype=torch.float64)
    assert InfoNCE(0.1)(cross_view(z, z, decoupled=True)).item() < -9


def test_clips_symmetric_loss_is_infonce_on_symmetrically_crossed_views() -> None:
    z1, z2 = views(6, 4, 2)
    logits, label = unit(z1) @ unit(z2).T / TAU, torch.arange(6)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = 0.5 * (cross_entropy(logits, label) + cross_entropy(logits.T, label))
    torch.testing.assert_close(InfoNCE(TAU)(cross_view(z1, z2, symmetric=True)), expected, rtol=1e-12, atol=0)


def test_simcses_loss_is_infonce_on_crossed_views() -> None:
    z1, z2 = views(6, 4, 3)
    expected = torch.nn.functional.cross_entropy(unit(z1) @ unit(z2).T / TAU, torch.arange(6))
    torch.testing.assert_close(InfoNCE(TAU)(cross_view(z1, z2)), expected, rtol=1e-12, atol=0)


def test_mocos_loss_is_infonce_with_a_queue_and_moves_neither_keys_nor_queue() -> None:
    q, k = (z.requires_grad_() for z in views(6, 4, 4))
    earlier = queue(9, 4, 4).requires_grad_()
    value = InfoNCE(TAU)(with_queue(q, k, earlier))
    value.backward()
    positive = (unit(q) * unit(k)).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, unit(q) @ unit(earlier).T], dim=1) / TAU
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    assert k.grad is None
    assert earlier.grad is None
    assert q.grad is not None and q.grad.any()


def test_supcons_outer_form_is_infonce_on_labelled_views() -> None:
    z1, z2 = views(5, 4, 5)
    z, labels = unit(torch.cat([z1, z2])), [0, 1, 0, 2, 1] * 2
    terms = []
    for i in range(10):
        below = sum((z[i] @ z[a] / TAU).exp() for a in range(10) if a != i)
        positives = [p for p in range(10) if p != i and labels[p] == labels[i]]
        terms.append(-sum(((z[i] @ z[p] / TAU).exp() / below).log() for p in positives) / len(positives))
    expected = torch.stack(terms).mean()
    pairs = labelled(torch.cat([z1, z2]), torch.tensor(labels))
    torch.testing.assert_close(InfoNCE(TAU)(pairs), expected, rtol=1e-12, atol=0)


def test_labels_that_are_sample_numbers_make_labelled_the_same_as_two_views() -> None:
    z1, z2 = views(5, 4, 6)
    pairs = labelled(torch.cat([z1, z2]), torch.arange(5).repeat(2))
    torch.testing.assert_close(InfoNCE(TAU)(pairs), InfoNCE(TAU)(two_view(z1, z2)), rtol=1e-12, atol=0)


# --- what is refused

ODD_SHAPES = [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((3,), (3,)), ((2, 3, 4), (2, 3, 4))]


@pytest.mark.parametrize("shapes", ODD_SHAPES, ids=str)
def test_views_that_do_not_match_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    z1, z2 = torch.zeros(shapes[0]), torch.zeros(shapes[1])
    for build in (two_view, cross_view, lambda q, k: with_queue(q, k, torch.zeros(5, 4))):
        with pytest.raises(ValueError, match=r"of one shape \[N, D\] expected, got"):
            build(z1, z2)


def test_a_queue_of_other_dimensions_is_refused() -> None:
    for shape in ((5, 3), (5,)):
        with pytest.raises(ValueError, match=r"queue of shape \[K, 4\] expected, got"):
            with_queue(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(shape))


def test_labels_and_indices_of_another_length_are_refused() -> None:
    z = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"labels of shape \[3\] expected, got \(2,\)"):
        labelled(z, torch.zeros(2))
    with pytest.raises(ValueError, match=r"labels of shape \[3\] expected, got \(3, 1\)"):
        labelled(z, torch.zeros(3, 1))
    for build in (two_view, cross_view):
        with pytest.raises(ValueError, match=r"index of shape \[3\] expected, got \(4,\)"):
            build(z, z, torch.zeros(4, dtype=torch.int64))


def test_what_cannot_be_set_against_each_other_is_refused_by_name() -> None:
    z, empty = torch.ones(3, 4), torch.ones(0, 4)
    for build in (two_view, cross_view, lambda q, k: with_queue(q, k, z)):
        with pytest.raises(ValueError, match=r"one precision expected, got float32 and float64: .*\.float\(\)"):
            build(z, z.double())
        with pytest.raises(ValueError, match=r"at least one row and one dimension expected, got shape \(0, 4\)"):
            build(empty, empty)
        with pytest.raises(ValueError, match="floating type expected, got int64 and int64"):
            build(z.long(), z.long())
        with pytest.raises(ValueError, match="one device expected, got cpu and meta"):
            build(z, z.to("meta"))
    with pytest.raises(ValueError, match="queries and a queue of one precision"):
        with_queue(z, z, z.double())
    with pytest.raises(ValueError, match="index of integers expected"):
        two_view(z, z, torch.ones(3))
    assert two_view(z.half(), z).similarity.dtype == torch.float32


# --- memory

PEAK = """
import resource
import torch
from suite.losses import InfoNCE
from suite.pairs import two_view

anchors = 8192
draw = torch.Generator().manual_seed(0)
z = torch.randn(anchors, 16, generator=draw, requires_grad=True)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def step(z):
    InfoNCE(0.5)(two_view(*z.chunk(2))).backward()

step(z[:64])
before = peak()
step(z)
assert torch.isfinite(z.grad).all() and z.grad.any()
print((peak() - before) / (4 * anchors * anchors))
"""


@pytest.mark.slow
def test_a_large_batch_takes_a_fraction_of_the_memory_of_its_matrix() -> None:
    result = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    # 0.18 when written, less for larger batches; computed at once, the same step takes four times the matrix
    assert float(result.stdout) < 0.35
