"""Every loss against plain loops in float64, and the property tests with known answers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from suite.losses import DySTreSS, InfoNCE, Loss, TemperatureFree, cross_entropy
from suite.pairs import Pairs, two_view

EPS = 2.0**-20


def logit(loss: Loss, s: float) -> float:
    """The papers' formulas, written again."""
    if isinstance(loss, InfoNCE):
        return s / loss.temperature
    if isinstance(loss, TemperatureFree):
        s = min(max(s, -(1 - loss.eps)), 1 - loss.eps)
        return loss.scale / 2 * math.log((1 + s) / (1 - s))
    assert isinstance(loss, DySTreSS)
    return s / (loss.tau_min + 0.5 * (loss.tau_max - loss.tau_min) * (1 + math.cos(math.pi * (1 + s))))


def by_loops(loss: Loss, pairs: Pairs) -> float:
    terms = []
    for i in range(len(pairs.similarity)):
        row = [float(s) for s in pairs.similarity[i]]
        candidates = [j for j in range(len(row)) if pairs.candidate[i, j]]
        positives = [j for j in range(len(row)) if pairs.positive[i, j]]
        if not positives:
            continue
        largest = max(logit(loss, row[j]) for j in candidates)
        normaliser = largest + math.log(sum(math.exp(logit(loss, row[j]) - largest) for j in candidates))
        terms.append(sum(normaliser - logit(loss, row[j]) for j in positives) / len(positives))
    return sum(terms) / len(terms)


LOSSES = [
    InfoNCE(0.5),
    InfoNCE(0.05),
    InfoNCE(1e-3),
    TemperatureFree(),
    TemperatureFree(scale=4.0),
    DySTreSS(),
    DySTreSS(0.1, 0.1),
]


def name(loss: Loss) -> str:
    return f"{type(loss).__name__}{[v for v in vars(loss).values() if isinstance(v, float)]}"


def embeddings(kind: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    z1, z2 = (torch.randn(6, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    if kind == "clustered":
        z1 = torch.ones(6, 5, dtype=torch.float64) + 0.01 * z1
        z2 = z1 + 0.001 * z2
    elif kind == "duplicate":
        z1 = z1[[0, 0, 0, 1, 1, 2]]
        z2 = z1.clone()
    elif kind == "antipodal":
        z2 = -z1
    return z1.to(dtype), z2.to(dtype)


KINDS = ["random", "clustered", "duplicate", "antipodal"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_value_equals_plain_loops(loss: Loss, kind: str) -> None:
    pairs = two_view(*embeddings(kind))
    assert loss(pairs).item() == pytest.approx(by_loops(loss, pairs), rel=1e-10)
    single = two_view(*embeddings(kind, torch.float32))
    # on the same float32 cosines; where the loss is a small difference of large logits, what remains is their rounding
    rounding = 4 * torch.finfo(torch.float32).eps * loss.logits(single.similarity).abs().max().item()  # type: ignore
    assert loss(single).item() == pytest.approx(by_loops(loss, single), rel=1e-5, abs=rounding)


@pytest.mark.parametrize("kind", ["random", "clustered"])
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not isinstance(loss, DySTreSS)], ids=name)
def test_gradient_equals_central_differences(loss: Loss, kind: str) -> None:
    pairs = two_view(*embeddings(kind))
    similarity = pairs.similarity.clamp(-0.999, 0.999).requires_grad_()
    held = Pairs(similarity, pairs.positive, pairs.candidate, pairs.index)
    (gradient,) = torch.autograd.grad(loss(held), similarity)
    for i, j in [(0, 6), (0, 1), (3, 9), (11, 2)]:
        step = torch.zeros_like(similarity)
        step[i, j] = 1e-7 if not isinstance(loss, InfoNCE) or loss.temperature > 0.01 else 1e-9
        values = [
            by_loops(loss, Pairs((similarity + sign * step).detach(), pairs.positive, pairs.candidate, pairs.index))
            for sign in (1, -1)
        ]
        expected = (values[0] - values[1]) / (2 * step[i, j].item())
        assert gradient[i, j].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_value_and_gradient_are_finite_everywhere(loss: Loss, kind: str, dtype: torch.dtype) -> None:
    z1, z2 = (z.requires_grad_() for z in embeddings(kind, dtype))
    value = loss(two_view(z1, z2))
    value.backward()
    assert torch.isfinite(value)
    assert z1.grad is not None and torch.isfinite(z1.grad).all()


@pytest.mark.parametrize("loss", LOSSES, ids=name)
def test_permutation_and_rotation_change_nothing(loss: Loss) -> None:
    z1, z2 = embeddings("random")
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    value = loss(two_view(z1, z2))
    torch.testing.assert_close(loss(two_view(z1[order], z2[order])), value, rtol=1e-9, atol=0)
    torch.testing.assert_close(loss(two_view(z1 @ rotation, z2 @ rotation)), value, rtol=1e-9, atol=0)


@settings(max_examples=20, deadline=None)
@given(s=st.floats(-0.99, 0.99), n=st.integers(2, 6))
def test_equal_similarities_give_the_logarithm_of_the_candidates(s: float, n: int) -> None:
    identity = torch.eye(2 * n, dtype=torch.bool)
    similarity = torch.full((2 * n, 2 * n), s, dtype=torch.float64)
    pairs = Pairs(similarity, identity.roll(n, dims=1), ~identity, torch.arange(2 * n))
    for loss in LOSSES:
        assert loss(pairs).item() == pytest.approx(math.log(2 * n - 1), rel=1e-9)


def test_temperature_free_is_the_odds_in_closed_form() -> None:
    pairs = two_view(*embeddings("random"))
    odds = ((1 + pairs.similarity) / (1 - pairs.similarity)).masked_fill(~pairs.candidate, 0.0)
    expected = -(odds[pairs.positive] / odds.sum(dim=1)).log().mean()
    torch.testing.assert_close(TemperatureFree()(pairs), expected, rtol=1e-10, atol=0)


@given(s=st.floats(-0.05, 0.05))
def test_temperature_free_is_temperature_one_half_near_zero(s: float) -> None:
    similarity = torch.tensor([s], dtype=torch.float64)
    difference = (TemperatureFree().logits(similarity) - InfoNCE(0.5).logits(similarity)).abs().item()
    assert difference <= abs(2 * s) * s * s / 3 * 1.01 + 1e-15


def test_the_factor_two_is_there() -> None:
    assert TemperatureFree().logits(torch.tensor([0.5], dtype=torch.float64)).item() == pytest.approx(math.log(3))


def test_the_largest_logit_is_the_documented_one() -> None:
    for dtype in (torch.float32, torch.float64):
        largest = TemperatureFree().logits(torch.tensor([1.0], dtype=dtype)).item()
        assert largest == pytest.approx(math.log((2 - EPS) / EPS), rel=1e-6)
    assert largest == pytest.approx(14.556, abs=1e-3)


def test_the_clamped_fraction_counts_candidates_only() -> None:
    z1 = torch.eye(3)
    pairs = two_view(z1, z1.clone())  # 6 anchors x 5 candidates; each anchor's positive lies at cosine 1
    assert TemperatureFree().diagnostics(pairs)["clamped_fraction"] == pytest.approx(6 / 30)


def test_dystress_temperature_at_its_ends_and_its_symmetry() -> None:
    loss = DySTreSS(0.07, 0.2)
    s = torch.tensor([-1.0, 0.0, 1.0, 0.3, -0.3], dtype=torch.float64)
    at = loss.temperature(s).tolist()
    assert at[:3] == pytest.approx([0.2, 0.07, 0.2])
    assert at[3] == pytest.approx(at[4])


def test_dystress_with_one_temperature_is_infonce() -> None:
    pairs = two_view(*embeddings("random"))
    torch.testing.assert_close(DySTreSS(0.3, 0.3)(pairs), InfoNCE(0.3)(pairs), rtol=1e-12, atol=0)


def test_dystress_takes_its_temperature_from_the_detached_cosine() -> None:
    pairs = two_view(*embeddings("random"))
    similarity = pairs.similarity.clone().requires_grad_()
    loss = DySTreSS()
    value = loss(Pairs(similarity, pairs.positive, pairs.candidate, pairs.index))
    (gradient,) = torch.autograd.grad(value, similarity)
    tau = loss.temperature(pairs.similarity)
    p = (pairs.similarity / tau).masked_fill(~pairs.candidate, -torch.inf).softmax(dim=1)
    expected = (p - pairs.positive.double()) / tau / len(p)
    torch.testing.assert_close(gradient, expected.masked_fill(~pairs.candidate, 0.0), rtol=1e-9, atol=1e-12)


def test_several_positives_are_averaged_outside_the_logarithm_and_none_does_not_count() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]], dtype=torch.float64)
    positive = torch.tensor([[True, True, False], [False, False, False]])
    log_p = logits[0].log_softmax(dim=0)
    expected = -(log_p[0] + log_p[1]) / 2
    torch.testing.assert_close(cross_entropy(logits, positive, torch.ones_like(positive)), expected)


@pytest.mark.parametrize("arguments", [(0.3, 0.2)])
def test_impossible_temperatures_are_refused(arguments: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="tau_min"):
        DySTreSS(*arguments)
