"""Every loss of the suite conforms, and each check catches the loss that is broken in just its way."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch

from suite.conformance import CHECKS, FINITE, assert_conforms, check
from suite.conformance.conventions import CONVENTIONS, KINDS, draw
from suite.conformance.stopgradient import StopGradients
from suite.losses import (
    DCL,
    DCLW,
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
from tests.conformance.broken_losses import (
    Artanh,
    CentresInBlocks,
    Counted,
    CountsTheLonely,
    Detached,
    Draws,
    Elsewhere,
    Flickers,
    Forgetful,
    GivesHalf,
    GrowsOnTheWay,
    Idle,
    LooksAtEmbeddings,
    NoLoss,
    Number,
    OtherWhenCompiled,
    Overflows,
    PicklesItself,
    Raises,
    RefusesQueues,
    Scaled,
    SeesItself,
    SingleInDouble,
    Twice,
    Vector,
    WeighsByNumber,
    WeighsByPlace,
    WrongBackward,
    WrongForItsParameter,
)

#: All checks but the one that costs more than all others together.
QUICK = [name for name in CHECKS if name != "compile"]

LOSSES: dict[str, Callable[[], Loss]] = {
    "InfoNCE": lambda: InfoNCE(0.1),
    "InfoNCE, cold": lambda: InfoNCE(1e-3),
    "TemperatureFree": TemperatureFree,
    "DySTreSS": DySTreSS,
    "DySTreSS, dcl": lambda: DySTreSS(form="dcl"),
    "DySTreSS, shifted": lambda: DySTreSS(shape="shifted"),
    "MonotoneTemperature": MonotoneTemperature,
    "MACL": MACL,
    "LearnableTemperature": LearnableTemperature,
    "TemperatureSchedule": lambda: TemperatureSchedule(period=4, per="step"),
    "DCL": DCL,
    "DCLW": DCLW,
    "SigLIP": SigLIP,
    "RelativeSigLIP": RelativeSigLIP,
    "PPS": PPS,
    "FocalInfoNCE": FocalInfoNCE,
    "ISogCLR": ISogCLR,
    "AdapTau": AdapTau,
}
ONE_POSITIVE = ("MACL", "DCLW", "ISogCLR", "AdapTau")


def failures(make: Callable[[], Any], names: list[str] = QUICK) -> dict[str, str]:
    return {result.name: result.detail for result in check(make, names) if result.state == "fail"}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_the_suite_conforms(name: str) -> None:
    results = check(LOSSES[name], QUICK)
    assert [result for result in results if result.state == "fail"] == []
    unsupported = [result.name for result in results if result.state == "not supported"]
    assert unsupported == (["finite: labelled", "finite: labelled, one alone"] if name in ONE_POSITIVE else [])


def test_a_loss_with_state_parameters_schedule_and_stop_gradients_conforms() -> None:
    assert_conforms(Counted, QUICK)


@pytest.mark.slow
def test_a_loss_may_freeze_its_parameters() -> None:
    makers: tuple[Callable[[], Loss], ...] = (Counted, LearnableTemperature)
    for make in makers:

        def frozen(make: Callable[[], Loss] = make) -> Loss:
            return make().requires_grad_(False)

        assert_conforms(frozen, QUICK)


@pytest.mark.parametrize(
    ("make", "failed", "reason"),
    [
        (NoLoss, "scalar", "NoLoss is no loss: derive it from suite.losses.Loss"),
        (Vector, "scalar", r"shape \[12\], not a scalar"),
        (Number, "scalar", "gives float, not a tensor"),
        (Detached, "scalar", "no gradient"),
        (Elsewhere, "scalar", "does not depend on pairs.similarity"),
        (Raises, "scalar", r"KeyError: 'no such thing' \(broken_losses.py:\d+\)"),
        (CountsTheLonely, "finite: labelled, one alone", "the value is nan.* An anchor without a positive"),
        (RefusesQueues, "finite: with_queue", "ValueError: no queues, please"),
        (SeesItself, "roles", "under two_view the value goes from"),
        (WeighsByPlace, "order", "in another order, the value is"),
        (WeighsByNumber, "order", "numbered otherwise, the value is"),
        (LooksAtEmbeddings, "rotation", "under two_view, with all embeddings rotated, the value is"),
        (Draws, "repetition", "a random draw"),
        (WrongBackward, "gradient", r"under two_view.* anchor \d+ and candidate \d+ \((positive|negative), cosine"),
        (WrongForItsParameter, "gradient", "parameter scale, entry 0, the gradient is .* differences give"),
        (Flickers, "gradient", "makes the loss take other steps"),
        (Overflows, "precision", "under autocast to float16 value or gradient is not finite"),
        (GivesHalf, "precision", "under autocast to float16 the result is float16"),
        (CentresInBlocks, "blocks", "in blocks of 3 anchors, the value is .*belongs into shared"),
        (Idle, "parameters", "^scale gets no gradient"),
        (Forgetful, "checkpoint", r"at step 3: average is not in state_dict\(\)"),
        (GrowsOnTheWay, "checkpoint", "size mismatch for seen.*size buffers in prepare"),
        (PicklesItself, "checkpoint", "something else than tensors"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_loss_that_is_broken_in_one_way_fails_just_that_check(
    make: Callable[[], Any], failed: str, reason: str
) -> None:
    found = failures(make)
    assert list(found) == [failed]
    assert re.search(reason, found[failed])


def test_a_map_that_is_infinite_at_one_fails_where_rows_coincide_and_nowhere_else() -> None:
    found = failures(Artanh)
    assert list(found) == list(FINITE)
    for reason in found.values():
        # whether rows in one cluster coincide in float32 is up to the machine's sums
        assert re.search(r"cosine 1\), for (duplicate rows|rows in one cluster in float32)", reason)
        assert "clamp it" in reason


def test_a_loss_that_throws_half_of_the_digits_away_is_told_so() -> None:
    assert "torch.float32 for similarities in float64" in failures(SingleInDouble)["gradient"]


def test_a_test_of_a_loss_of_ones_own_says_what_is_wrong_with_it() -> None:
    with pytest.raises(AssertionError, match="the loss does not conform\nparameters: scale gets no gradient"):
        assert_conforms(Idle, ["parameters"])


def test_a_check_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match=r"there is no check 'gradeint'.*gradient"):
        assert_conforms(InfoNCE, ["gradeint"])


def test_what_fails_first_leaves_the_rest_unchecked() -> None:
    first, *rest = check(Vector, QUICK)
    assert (first.name, first.state) == ("scalar", "fail")
    assert [result.name for result in rest] == [name for name in QUICK if name != "scalar"]
    assert {result.state for result in rest} == {"not checked"}


@pytest.mark.slow
def test_a_loss_that_compiles_to_something_else_is_found() -> None:
    assert failures(OtherWhenCompiled, QUICK) == {}
    (reason,) = failures(OtherWhenCompiled, ["compile"]).values()
    assert "under torch.compile the value is" in reason


def test_every_check_is_made_unless_some_are_named() -> None:
    assert [result.name for result in check(Vector)] == list(CHECKS)
    assert [result.name for result in check(Vector, ["order"])] == ["scalar", "order"]


def test_checking_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check(Draws, ["order", "repetition"])
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_computed_whole_is_told_what_it_costs() -> None:
    results = {result.name: result for result in check(SeesItself, ["blocks"])}
    assert results["blocks"].state == "pass"
    assert "grows with the square of the batch" in results["blocks"].detail
    (blocks,) = [result for result in check(Scaled, ["blocks"]) if result.name == "blocks"]
    assert "square" not in blocks.detail


def test_what_is_cut_off_the_gradient_keeps_its_first_value_and_the_rest_does_not() -> None:
    def computed(at: float) -> tuple[float, ...]:
        x = torch.tensor([at], requires_grad=True)
        held = torch.zeros(1)
        with kept.run():
            with torch.no_grad():
                square = x * x
                held += x
                square *= 2.0
            results = (x * x.detach(), x.data + x, x * x.item(), x + square, x + held)
        return tuple(float(result.detach()) for result in results)

    kept = StopGradients()
    assert computed(3.0) == (9.0, 6.0, 9.0, 21.0, 6.0)
    assert computed(4.0) == (12.0, 7.0, 12.0, 22.0, 7.0)


def test_the_inside_of_an_autograd_function_is_not_cut_off() -> None:
    kept = StopGradients()
    values = []
    for at in (3.0, 4.0):
        with kept.run():
            value = Twice.apply(torch.tensor(at, requires_grad=True))
        values.append(float(value.detach()))
    assert values == [6.0, 8.0]
    assert isinstance(torch.autograd.Function.apply, types.BuiltinFunctionType)  # as it was


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_batches_are_what_they_are_called(convention: str) -> None:
    cosines = {kind: CONVENTIONS[convention](draw(kind)).similarity for kind in KINDS}
    pairs = CONVENTIONS[convention](draw())
    others = pairs.candidate | pairs.positive
    assert cosines["random"][others].abs().max() < 0.999
    assert cosines["clustered"][others].min() > 0.99
    assert (cosines["duplicate"][others] > 1 - 1e-12).any()
    assert (cosines["antipodal"][others] < -1 + 1e-12).any()
    assert bool((pairs.roles.positives() == 0).any()) == (convention == "labelled, one alone")
