"""What is known of the losses without computing them twice."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from suite.losses import (
    DCL,
    MACL,
    DySTreSS,
    InfoNCE,
    ISogCLR,
    LearnableTemperature,
    Loss,
    MonotoneTemperature,
    SigLIP,
    TemperatureFree,
    TemperatureSchedule,
    cross_entropy,
    log_odds,
)
from suite.losses.steps import Step
from suite.pairs import Pairs, cross_view, labelled, two_view
from suite.pairs.roles import DenseRoles, Roles
from tests.losses.cases import CASES, PAIR_TYPES, SUPPORTED, Case, Embeddings, PairType, dense, embeddings

SOFTMAX = [case for case in CASES if case.is_softmax]


def random_pairs() -> Pairs:
    given = embeddings("random")
    return two_view(given.z1, given.z2)


def by_similarity(loss: Loss, pairs: Pairs) -> Tensor:
    """Gradient with respect to the cosines: [anchors, candidates]."""
    similarity = pairs.similarity.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(dense(pairs, similarity)), similarity)
    return gradient


def probabilities(pairs: Pairs, tau: float | Tensor) -> Tensor:
    return (pairs.similarity / tau).masked_fill(~pairs.candidate, -torch.inf).softmax(dim=1)


@pytest.mark.parametrize(("case", "pair_type"), SUPPORTED, ids=str)
def test_rotation_changes_neither_value_nor_the_turned_gradient(case: Case, pair_type: PairType) -> None:
    draw = torch.Generator().manual_seed(1)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=draw, dtype=torch.float64))
    given = embeddings("random")
    results = []
    for turn in (torch.eye(4, dtype=torch.float64), rotation):
        leaves = Embeddings(given.z1 @ turn, given.z2 @ turn, given.queue @ turn).leaves(torch.float64)
        value = case.make()(pair_type.build(leaves))
        value.backward()
        results.append((value.detach(), leaves.gradients @ turn.T))
    for still, turned in zip(*results, strict=True):
        torch.testing.assert_close(turned, still, rtol=1e-9, atol=1e-9 * still.abs().max().item())


@pytest.mark.parametrize(("case", "pair_type"), [both for both in SUPPORTED if both[1].one_positive], ids=str)
def test_the_order_of_samples_and_the_length_of_rows_change_nothing(case: Case, pair_type: PairType) -> None:
    given = embeddings("random")
    order = torch.tensor([2, 0, 3, 1])
    length = torch.tensor([[0.5], [3.0], [1.0], [100.0]], dtype=torch.float64)
    moved = Embeddings(given.z1[order] * length, given.z2[order], given.queue.flip(0))
    value = case.make()(pair_type.build(given))
    torch.testing.assert_close(case.make()(pair_type.build(moved)), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if not case.one_positive], ids=str)
def test_the_order_of_labelled_rows_changes_nothing(case: Case) -> None:
    given = embeddings("random")
    z, y = torch.cat([given.z1, given.z2]), torch.tensor([0, 0, 1, 2, 0, 1, 0, 3])
    order = torch.tensor([5, 2, 7, 0, 1, 6, 4, 3])
    renamed = 10 - y[order]
    torch.testing.assert_close(
        case.make()(labelled(z[order], renamed)), case.make()(labelled(z, y)), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    "case", [case for case in SOFTMAX if not case.name.startswith(("DySTreSS", "Monotone", "PPS"))], ids=str
)
def test_the_gradient_equals_central_differences(case: Case) -> None:
    pairs, loss = random_pairs(), case.make()
    gradient = by_similarity(loss, pairs)
    for i, j in [(0, 4), (0, 1), (3, 7), (6, 2)]:
        step = torch.zeros_like(pairs.similarity)
        step[i, j] = 1e-5 / case.largest_logit
        above, below = (loss(dense(pairs, pairs.similarity + sign * step)).item() for sign in (1, -1))
        expected = (above - below) / (2 * step[i, j].item())
        assert gradient[i, j].item() == pytest.approx(expected, rel=1e-5, abs=1e-6 * case.largest_logit)


@settings(max_examples=20)
@given(s=st.floats(-0.99, 0.99), n=st.integers(2, 6))
def test_equal_similarities_give_the_logarithm_of_the_number_of_candidates(s: float, n: int) -> None:
    identity = torch.eye(2 * n, dtype=torch.bool)
    similarity = torch.full((2 * n, 2 * n), s, dtype=torch.float64)
    pairs = Pairs(similarity, identity.roll(n, dims=1), ~identity, torch.arange(2 * n))
    for case in SOFTMAX:
        assert case.make()(pairs).item() == pytest.approx(math.log(2 * n - 1), rel=1e-9)
    for decoupled in (DCL(), DySTreSS(form="dcl")):
        assert decoupled(pairs).item() == pytest.approx(math.log(2 * n - 2), rel=1e-9, abs=1e-9)
    u = math.log(2 * n - 1)
    assert MACL()(pairs).item() == pytest.approx(u / -math.expm1(-u), rel=1e-9)


@pytest.mark.parametrize("pair_type", PAIR_TYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_one_embedding_for_all_gives_the_logarithm_of_the_number_of_candidates(case: Case, pair_type: PairType) -> None:
    row = torch.tensor([[0.5, -1.0, 2.0, 0.25]], dtype=torch.float64)
    pairs = pair_type.build(Embeddings(row.repeat(4, 1), row.repeat(4, 1), row.repeat(5, 1)))
    candidates = int(pairs.candidate[0].sum())
    assert case.make()(pairs).item() == pytest.approx(math.log(candidates), rel=1e-9)


def test_temperature_free_is_the_odds_in_closed_form() -> None:
    pairs = random_pairs()
    odds = ((1 + pairs.similarity) / (1 - pairs.similarity)).masked_fill(~pairs.candidate, 0.0)
    expected = -(odds[pairs.positive] / odds.sum(dim=1)).log().mean()
    torch.testing.assert_close(TemperatureFree()(pairs), expected, rtol=1e-10, atol=0)


@given(s=st.floats(-0.05, 0.05))
def test_temperature_free_is_temperature_one_half_near_zero(s: float) -> None:
    similarity = torch.tensor([s], dtype=torch.float64)
    difference = (TemperatureFree().logits(similarity) - InfoNCE(0.5).logits(similarity)).abs().item()
    assert difference <= abs(2 * s) * s * s / 3 * 1.01 + 1e-15


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_the_scale_is_the_exponent_of_the_odds_times_one_half(scale: float) -> None:
    # the factor 2 is in the default: without it the loss is another one
    assert TemperatureFree().scale == 2.0
    s = torch.tensor([0.5, -0.5], dtype=torch.float64)
    expected = [scale / 2 * math.log(3), -scale / 2 * math.log(3)]
    assert TemperatureFree(scale=scale).logits(s).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_clamped_fraction_counts_candidates_only() -> None:
    z1 = torch.eye(3)
    pairs = two_view(z1, z1.clone())  # 6 anchors x 5 candidates; each anchor's positive lies at cosine 1
    assert TemperatureFree().diagnostics(pairs)["clamped_fraction"] == pytest.approx(6 / 30)
    assert TemperatureFree().diagnostics(pairs.in_blocks(2))["clamped_fraction"] == pytest.approx(6 / 30)
    assert TemperatureFree().diagnostics(two_view(z1, -z1))["clamped_fraction"] == pytest.approx(6 / 30)


@given(s=st.floats(-1, 1))
def test_the_temperature_of_dystress_is_even_and_within_its_ends(s: float) -> None:
    loss = DySTreSS(0.07, 0.2)
    at = loss.temperature(torch.tensor([-1.0, 0.0, 1.0, s, -s], dtype=torch.float64)).tolist()
    assert at[:3] == pytest.approx([0.2, 0.07, 0.2])
    assert at[3] == pytest.approx(at[4])
    assert 0.07 - 1e-12 <= at[3] <= 0.2 + 1e-12


def test_the_shifted_temperature_of_dystress_is_smallest_below_zero_and_largest_from_0_4_on() -> None:
    s = torch.tensor([-1.0, -0.3, 0.05, 0.4, 0.5, 1.0], dtype=torch.float64)
    at = DySTreSS(0.04, 0.05, shape="shifted").temperature(s).tolist()
    assert at == pytest.approx([0.05, 0.04, 0.045, 0.05, 0.05, 0.05])


@given(s=st.lists(st.floats(-1, 1), min_size=2, max_size=2).map(sorted))
def test_the_monotone_temperature_rises_from_end_to_end(s: list[float]) -> None:
    loss = MonotoneTemperature(0.07, 0.2)
    at = loss.temperature(torch.tensor([-1.0, *s, 1.0], dtype=torch.float64)).tolist()
    assert at[0] == pytest.approx(0.07)
    assert at[-1] == pytest.approx(0.2)
    assert at == sorted(at)


@pytest.mark.parametrize("make", [DySTreSS, MonotoneTemperature, TemperatureSchedule])
def test_one_temperature_for_all_is_infonce(make: type[Loss]) -> None:
    pairs, loss = random_pairs(), make(0.3, 0.3)
    loss.start(Step(0, 0, 0))
    torch.testing.assert_close(loss(pairs), InfoNCE(0.3)(pairs), rtol=1e-12, atol=0)
    torch.testing.assert_close(DySTreSS(0.3, 0.3, form="dcl")(pairs), DCL(0.3)(pairs), rtol=1e-12, atol=0)
    torch.testing.assert_close(DySTreSS(0.3, 0.3, shape="shifted")(pairs), InfoNCE(0.3)(pairs), rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", [DySTreSS(), DySTreSS(shape="shifted"), MonotoneTemperature()])
def test_the_gradient_is_residual_over_temperature_where_the_temperature_is_detached(
    loss: DySTreSS | MonotoneTemperature,
) -> None:
    pairs = random_pairs()
    tau = loss.temperature(pairs.similarity)
    expected = (probabilities(pairs, tau) - pairs.positive.double()) / tau / len(pairs)
    torch.testing.assert_close(
        by_similarity(loss, pairs), expected.masked_fill(~pairs.candidate, 0.0), rtol=1e-9, atol=1e-12
    )


def test_the_decoupled_form_of_dystress_lets_the_gradient_through_its_temperature() -> None:
    pairs, loss = random_pairs(), DySTreSS(form="dcl")
    s = pairs.similarity.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad((s / loss.temperature(s)).sum(), s)
    negatives = (s / loss.temperature(s)).masked_fill(~pairs.candidate | pairs.positive, -torch.inf)
    residual = (negatives.softmax(dim=1) - pairs.positive.double()) / len(pairs)
    expected = (residual * slope).masked_fill(~pairs.candidate, 0.0)
    torch.testing.assert_close(by_similarity(loss, pairs), expected, rtol=1e-9, atol=1e-12)
    held = (residual / loss.temperature(s)).masked_fill(~pairs.candidate, 0.0)
    assert (expected - held).abs().max() > 0.1 * expected.abs().max()


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_dcl_is_infonce_plus_the_logarithm_of_the_negatives_probability(temperature: float) -> None:
    pairs = random_pairs()
    p = probabilities(pairs, temperature)[pairs.positive]
    torch.testing.assert_close(
        DCL(temperature)(pairs), InfoNCE(temperature)(pairs) + (1 - p).log().mean(), rtol=1e-9, atol=1e-12
    )


def test_macl_without_alpha_is_infonce_with_each_anchor_over_one_minus_p() -> None:
    pairs, tau = random_pairs(), 0.2
    p = probabilities(pairs, tau)
    positive = p[pairs.positive].unsqueeze(1)
    expected = (p - pairs.positive.double()) / (1 - positive) / tau / len(pairs)
    gradient = by_similarity(MACL(tau, alpha=0.0), pairs)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
    assert (gradient[pairs.positive] * len(pairs)).tolist() == pytest.approx([-1 / tau] * len(pairs))
    u = -positive.log()
    torch.testing.assert_close(MACL(tau, alpha=0.0)(pairs), (u / (1 - (-u).exp())).mean(), rtol=1e-9, atol=0)


@given(alpha=st.floats(0, 1), threshold=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_the_gradient_of_macl_is_that_of_dcl_at_its_temperature(alpha: float, threshold: float, seed: int) -> None:
    given = embeddings("random", seed)
    pairs = two_view(given.z1, given.z1 + 0.5 * given.z2)
    alignment = pairs.similarity[pairs.positive].mean().item()
    tau = 0.2 * (1 + alpha * (alignment - threshold))
    torch.testing.assert_close(
        by_similarity(MACL(0.2, alpha, threshold), pairs), by_similarity(DCL(tau), pairs), rtol=1e-9, atol=1e-12
    )


def test_macl_refuses_a_temperature_that_its_batch_makes_negative() -> None:
    z = embeddings("random").z1
    with pytest.raises(ValueError, match="alpha"):
        MACL(0.05, alpha=2.0, threshold=0.8)(two_view(z, -z))


def test_siglip_is_its_formula_with_its_defaults_and_trains_scale_and_bias() -> None:
    given = embeddings("random")
    loss = SigLIP().double()
    assert loss.log_scale.exp().item() == pytest.approx(10.0)
    assert loss.bias.item() == -10.0
    value = loss(cross_view(given.z1, given.z2))
    unit1, unit2 = (z / z.norm(dim=1, keepdim=True) for z in (given.z1, given.z2))
    logits = loss.log_scale.detach().exp() * unit1 @ unit2.T - 10.0
    signs = 2.0 * torch.eye(4, dtype=torch.float64) - 1.0
    expected = torch.nn.functional.softplus(-signs * logits).sum() / 4
    torch.testing.assert_close(value.detach(), expected, rtol=1e-12, atol=0)
    value.backward()
    assert loss.log_scale.grad is not None and loss.log_scale.grad != 0
    assert loss.bias.grad is not None and loss.bias.grad != 0


@pytest.mark.parametrize("case", [case for case in CASES if case.one_positive], ids=str)
def test_several_positives_are_refused_where_a_loss_is_defined_for_one(case: Case) -> None:
    given = embeddings("random")
    for labels in ([0, 0, 0, 1], [0, 0, 1, 2]):
        with pytest.raises(ValueError, match="exactly one positive"):
            case.make()(labelled(given.z1, torch.tensor(labels)))
    if not case.views:
        case.make()(labelled(given.z1, torch.tensor([0, 1, 0, 1])))


@pytest.mark.parametrize(("case", "pair_type"), [(c, p) for c in CASES for p in PAIR_TYPES if c.views and not p.views])
def test_pairs_without_views_are_refused_where_a_loss_is_defined_for_views(case: Case, pair_type: PairType) -> None:
    with pytest.raises(ValueError, match=r"exactly one positive|two views, pooled as by two_view"):
        case.make()(pair_type.build(embeddings("random")))


@pytest.mark.parametrize(("reduction", "takes_positives_below"), [(cross_entropy, True), (log_odds, False)])
def test_several_positives_are_averaged_outside_the_logarithm(
    reduction: Callable[[Tensor, Roles], Tensor], takes_positives_below: bool
) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0, -1.0]], dtype=torch.float64)
    positive = torch.tensor([[True, True, False, False]])
    below = [1.0, 2.0, 3.0, -1.0] if takes_positives_below else [3.0, -1.0]
    expected = math.log(sum(math.exp(logit) for logit in below)) - 1.5
    actual = reduction(logits, DenseRoles(positive, torch.ones_like(positive)))
    assert actual.tolist() == pytest.approx([expected])


def test_an_anchor_without_positive_does_not_count() -> None:
    given = embeddings("random")
    pairs = labelled(given.z1, torch.tensor([0, 0, 1, 2]))
    rows = slice(0, 2)
    some = Pairs(pairs.similarity[rows], pairs.positive[rows], pairs.candidate[rows], pairs.index[rows])
    for case in CASES:
        if not case.one_positive:
            torch.testing.assert_close(case.make()(pairs), case.make()(some), rtol=1e-12, atol=0)


@pytest.mark.parametrize("case", [case for case in CASES if not case.one_positive], ids=str)
def test_a_batch_without_any_positive_costs_nothing(case: Case) -> None:
    z = embeddings("random").leaves(torch.float64).z1
    value = case.make()(labelled(z, torch.arange(4)))
    value.backward()
    assert value.item() == 0.0
    assert z.grad is not None and not z.grad.any()


@pytest.mark.parametrize("make", [DySTreSS, MonotoneTemperature, TemperatureSchedule])
def test_temperatures_in_the_wrong_order_are_refused(make: type[Loss]) -> None:
    with pytest.raises(ValueError, match="tau_min"):
        make(0.3, 0.2)


def test_a_temperature_outside_its_bounds_is_refused() -> None:
    for temperature in (0.005, 2.0):
        with pytest.raises(ValueError, match="temperature"):
            LearnableTemperature(temperature)
        with pytest.raises(ValueError, match="temperature"):
            ISogCLR(temperature)
