"""Constructors and calls refuse what the registry and the type checker would."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Annotated

import pytest
import torch
from annotated_types import Interval
from torch import Tensor

from suite.losses import (
    DySTreSS,
    InfoNCE,
    ISogCLR,
    LearnableTemperature,
    LogitLoss,
    Loss,
    SigLIP,
    TemperatureFree,
)
from suite.pairs import two_view
from suite.parameters import Count, Positive


class Mine(LogitLoss):
    def __init__(self, power: Count, share: Annotated[float, Interval(gt=0, le=1)] = 2.0) -> None:
        super().__init__()
        self.power = power
        self.share = share

    def logits(self, similarity: Tensor) -> Tensor:
        return similarity**self.power


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InfoNCE(-0.1), "InfoNCE: temperature should be a number > 0, got -0.1"),
        (lambda: InfoNCE(0.0), "InfoNCE: temperature should be a number > 0, got 0.0"),
        (lambda: InfoNCE(float("nan")), "InfoNCE: temperature should be a number > 0, got nan"),
        (lambda: InfoNCE("0.1"), "InfoNCE: temperature should be a number > 0, got '0.1'"),
        (lambda: TemperatureFree(scale=-2), "TemperatureFree: scale should be a number > 0, got -2"),
        (lambda: TemperatureFree(eps=1), "TemperatureFree: eps should be a number >= 1e-07 and < 1, got 1"),
        (
            lambda: DySTreSS(tau_min=-1, form="x"),
            "DySTreSS: tau_min should be a number > 0, got -1; form should be 'nt_xent' or 'dcl', got 'x'",
        ),
        (lambda: Mine(0), "Mine: power should be an integer >= 1, got 0"),
        (
            lambda: Mine(1.5, share=0),
            "Mine: power should be an integer >= 1, got 1.5; share should be a number > 0 and <= 1",
        ),
    ],
)
def test_a_value_outside_its_range_is_refused_with_parameter_value_and_range(
    make: Callable[[], Loss], message: str
) -> None:
    with pytest.raises(ValueError) as refused:
        make()
    assert str(refused.value).startswith(message)


def test_defaults_and_what_says_no_range_are_taken_as_they_are() -> None:
    class Free(Loss):
        def __init__(self, anything=-1, odd: NotKnown = None, temperature: Positive = -1.0) -> None:  # type: ignore # noqa: F821
            super().__init__()
            self.anything, self.temperature = anything, temperature

    assert Mine(2).share == 2.0
    assert Free(-3).anything == -3
    assert Free(temperature=-2.0).temperature == -2.0  # one name that cannot be read: nothing is known of the others


def test_a_class_without_a_constructor_takes_its_parents() -> None:
    class Named(InfoNCE):
        pass

    with pytest.raises(ValueError, match="Named: temperature"):
        Named(-1.0)
    assert Named(0.5).temperature == 0.5


def test_missing_and_unknown_arguments_are_told_by_the_constructor() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'temperature'"):
        InfoNCE()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'tau'"):
        InfoNCE(tau=0.1)  # type: ignore[call-arg]


def test_constructors_keep_their_signatures_and_losses_can_be_copied() -> None:
    assert str(inspect.signature(Mine)).startswith("(power: 'Count', share:")
    for loss in (InfoNCE(0.1), ISogCLR(), SigLIP()):
        for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert repr(other) == repr(loss)


def test_a_loss_shows_its_parameters_as_they_stand() -> None:
    assert repr(InfoNCE(0.1)) == "InfoNCE(temperature=0.1)"
    assert repr(DySTreSS()) == "DySTreSS(tau_min=0.07, tau_max=0.2, form='nt_xent', shape='cosine')"
    assert repr(Mine(3)) == "Mine(power=3, share=2.0)"
    loss = LearnableTemperature(0.5)
    assert repr(loss) == "LearnableTemperature(temperature=0.5)"
    with torch.no_grad():
        loss.log_scale.fill_(0.0)
    assert repr(loss) == "LearnableTemperature(temperature=1)"
    assert repr(SigLIP()) == "SigLIP(scale=10, bias=-10)"


@pytest.mark.parametrize("loss", [InfoNCE(0.1), SigLIP(), ISogCLR(), Mine(1)], ids=lambda loss: type(loss).__name__)
def test_embeddings_in_place_of_pairs_are_refused_with_the_right_call(loss: Loss) -> None:
    z = torch.ones(3, 4)
    for given in ((z, z), (z,), (two_view(z, z), z)):
        with pytest.raises(TypeError, match=r"takes pairs, not embeddings: loss\(two_view\(z1, z2\)\)"):
            loss(*given)
