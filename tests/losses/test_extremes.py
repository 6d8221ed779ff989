"""Finite everywhere: at tau = 1e-3, at cosines of exactly 1 and -1, in every type and under autocast."""

from __future__ import annotations

import math

import pytest
import torch

from suite.losses import (
    DCL,
    DCLW,
    DHEL,
    MACL,
    PPS,
    AdapTau,
    DySTreSS,
    FocalInfoNCE,
    InfoNCE,
    ISogCLR,
    LearnableTemperature,
    Loss,
    MonotoneTemperature,
    RelativeSigLIP,
    SigLIP,
    TemperatureFree,
    TemperatureSchedule,
)
from suite.losses.steps import Training
from suite.pairs import Pairs, cross_view, labelled, two_view, with_queue
from tests.losses.cases import CASES, KINDS, PAIR_TYPES, SAMPLES, SUPPORTED, Case, PairType, embeddings

SHARPEST = [
    InfoNCE(1e-3),
    TemperatureFree(),
    TemperatureFree(scale=4.0),
    DySTreSS(1e-3, 1e-3),
    DySTreSS(1e-3, 0.1),
    DySTreSS(1e-3, 0.1, shape="shifted"),
    DySTreSS(1e-3, 0.1, form="dcl"),
    DySTreSS(1e-3, 0.1, form="dcl", shape="shifted"),
    MonotoneTemperature(1e-3, 0.1),
    MACL(1e-3),
    LearnableTemperature(0.01),
    TemperatureSchedule(1e-3, 1e-3),
    DCL(1e-3),
    DCLW(1e-3, sigma=1e-3),
    SigLIP(1e3),
    RelativeSigLIP(1e3),
    PPS(),
    FocalInfoNCE(1e-3, margin=1.0),
    DHEL(1e-3),
    ISogCLR(1e-3, tau_min=1e-3),
    AdapTau(1e-3, least_gap=1e-3),
]


def prepared(loss: Loss, dtype: torch.dtype) -> Loss:
    training = Training(SAMPLES, epochs=1, steps_per_epoch=1)
    loss.to(dtype).prepare(training)
    loss.start(training.step(0))
    return loss


def supported(loss: Loss) -> list[PairType]:
    needs_one_positive, needs_views = (getattr(loss, f"needs_{what}", False) for what in ("one_positive", "views"))
    one_positive = [pair_type for pair_type in PAIR_TYPES if pair_type.one_positive or not needs_one_positive]
    return [pair_type for pair_type in one_positive if pair_type.views or not needs_views]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", SHARPEST, ids=lambda loss: type(loss).__name__)
def test_the_sharpest_temperature_is_finite_for_all_embeddings_and_pair_types(loss: Loss, dtype: torch.dtype) -> None:
    for pair_type in supported(loss):
        for kind in KINDS:
            leaves = embeddings(kind).leaves(dtype)
            value = prepared(loss, dtype)(pair_type.build(leaves))
            loss.zero_grad()
            value.backward()
            where = f"{pair_type}, {kind}"
            assert torch.isfinite(value), where
            assert torch.isfinite(leaves.gradients).all(), where
            assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters()), where


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", SHARPEST, ids=lambda loss: type(loss).__name__)
def test_cosines_of_exactly_one_and_minus_one_are_finite(loss: Loss, dtype: torch.dtype) -> None:
    roles = two_view(torch.eye(2), torch.eye(2))
    for positive in (-1.0, 1.0):
        for negative in (-1.0, 1.0):
            similarity = torch.where(roles.positive, positive, negative).to(dtype).requires_grad_()
            pairs = Pairs.with_roles(similarity, roles.roles, roles.index)
            value = prepared(loss, dtype)(pairs)
            (gradient,) = torch.autograd.grad(value, similarity)
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("case", "pair_type"), SUPPORTED, ids=str)
def test_autocast_and_half_precision_embeddings_give_the_loss_in_float32(
    case: Case, pair_type: PairType, dtype: torch.dtype
) -> None:
    for kind in KINDS:
        narrow = embeddings(kind).leaves(dtype)
        wide = embeddings(kind).to(dtype).leaves(torch.float32)
        with torch.autocast("cpu", dtype=dtype):
            value = case.make().float()(pair_type.build(narrow))
        reference = case.make().float()(pair_type.build(wide))
        value.backward()
        reference.backward()
        assert value.dtype == torch.float32
        assert value.item() == reference.item(), kind
        assert torch.equal(narrow.gradients, wide.gradients.to(dtype)), kind
        assert torch.isfinite(narrow.gradients).all(), kind


@pytest.mark.parametrize("case", [case for case in CASES if case.is_softmax], ids=str)
def test_a_tiny_loss_keeps_its_relative_accuracy_in_float32(case: Case) -> None:
    cosines = torch.tensor([0.9375, -0.5, -0.25, -0.75])
    values = []
    for dtype in (torch.float32, torch.float64):
        # one anchor along the first axis, its candidates at these cosines to it
        anchor = torch.tensor([[1.0, 0.0]], dtype=dtype)
        others = torch.stack([cosines, (1 - cosines.square()).sqrt()], dim=1).to(dtype)
        pairs = with_queue(anchor, others[:1], others[1:])
        values.append(case.make().to(dtype)(pairs).item())
    rounding = 4 * torch.finfo(torch.float32).eps * case.largest_logit
    assert values[0] == pytest.approx(values[1], rel=1e-5 + rounding, abs=0)


def test_the_largest_logit_of_the_temperature_free_map_is_the_documented_one() -> None:
    eps = 2.0**-20
    for dtype in (torch.float32, torch.float64):
        for sign in (1.0, -1.0):
            logit = TemperatureFree().logits(torch.tensor([sign], dtype=dtype)).item()
            assert logit == pytest.approx(
                sign * math.log((2 - eps) / eps), rel=1e-7 if dtype == torch.float32 else 1e-9
            )
    assert abs(logit) == pytest.approx(14.556, abs=1e-3)
    assert TemperatureFree(eps=1e-2).logits(torch.ones(1)).item() == pytest.approx(5.29, abs=5e-3)


def test_the_temperature_free_slope_is_exact_in_float32_up_to_the_clamp() -> None:
    distance = torch.logspace(0, -19, 1000, base=2.0)
    for sign in (1.0, -1.0):
        similarity = (sign * (1.0 - distance)).requires_grad_()
        (slope,) = torch.autograd.grad(TemperatureFree().logits(similarity).sum(), similarity)
        s = similarity.detach().double()
        torch.testing.assert_close(slope.double(), 2 / ((1 - s) * (1 + s)), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_clamped_similarity_has_no_gradient_and_the_next_one_has(dtype: torch.dtype) -> None:
    s = torch.tensor([-1.0, -(1 - 2.0**-21), 1 - 2.0**-21, 1.0, 1 - 2.0**-19, 0.99], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(TemperatureFree().logits(s).sum(), s)
    assert slope[:4].tolist() == [0.0] * 4
    assert (slope[4:] > 0).all()


@pytest.mark.parametrize(
    "loss",
    [DCL(), DCLW(), DHEL(), MACL(), ISogCLR(), AdapTau(), DySTreSS(form="dcl")],
    ids=lambda loss: type(loss).__name__,
)
def test_a_decoupled_loss_refuses_an_anchor_without_a_negative(loss: Loss) -> None:
    one = torch.ones(1, 3)
    with pytest.raises(ValueError, match="no negative"):
        prepared(loss, torch.float32)(two_view(one, one))
    if not getattr(loss, "needs_one_positive", False):
        with pytest.raises(ValueError, match="no negative"):
            loss(labelled(torch.eye(3), torch.zeros(3, dtype=torch.int64)))


def test_infonce_of_an_anchor_without_a_negative_is_nothing() -> None:
    one = torch.ones(1, 3, requires_grad=True)
    value = InfoNCE(0.1)(two_view(one, one))
    value.backward()
    assert value.item() == 0.0
    assert torch.isfinite(one.grad).all()
    with pytest.raises(ValueError, match="no negative"):
        InfoNCE(0.1)(cross_view(one, one, decoupled=True))


def test_a_clamped_start_counts_what_has_no_gradient() -> None:
    loss = TemperatureFree(eps=0.25)
    similarity = torch.tensor([[0.0, 0.75, -0.75, 0.5]], requires_grad=True)
    positive = torch.tensor([[False, True, False, False]])
    pairs = Pairs(similarity, positive, torch.ones_like(positive), torch.zeros(1, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss(pairs), similarity)
    assert loss.diagnostics(pairs)["clamped_fraction"] == (gradient == 0).float().mean() == 0.5
