"""torch.compile changes no loss: one graph without breaks where the batch is small, block by block where it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from suite.losses import (
    DCL,
    DCLW,
    MACL,
    PPS,
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
from suite.pairs import two_view

pytestmark = pytest.mark.slow

SAMPLES = 8


def outcome(loss: Loss, rows: int | None, compiled: Callable[..., Callable[..., Tensor]] | None) -> list[Tensor]:
    """Return value and gradients of a step that embeds nothing but makes the pairs."""
    training = Training(SAMPLES, 1, 1)
    loss.prepare(training)
    loss.start(training.step(0))

    def step(first: Tensor, second: Tensor) -> Tensor:
        pairs = two_view(first, second)
        return loss(pairs if rows is None else pairs.in_blocks(rows))

    draw = torch.Generator().manual_seed(0)
    views = [torch.randn(SAMPLES, 4, generator=draw, requires_grad=True) for _ in range(2)]
    value = (step if compiled is None else compiled(step))(*views)
    return [value.detach(), *torch.autograd.grad(value, [*views, *loss.parameters()])]


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "make",
    [
        lambda: InfoNCE(0.2),
        TemperatureFree,
        DySTreSS,
        lambda: DySTreSS(form="dcl", shape="shifted"),
        MonotoneTemperature,
        MACL,
        LearnableTemperature,
        TemperatureSchedule,
        DCL,
        DCLW,
        SigLIP,
        RelativeSigLIP,
        PPS,
        FocalInfoNCE,
    ],
)
def test_a_small_step_compiles_into_one_graph(make: Callable[[], Loss]) -> None:
    compiled = outcome(make(), None, lambda step: torch.compile(step, backend="aot_eager", fullgraph=True))
    torch.testing.assert_close(compiled, outcome(make(), None, None))


@pytest.mark.parametrize("make", [lambda: InfoNCE(0.2), LearnableTemperature, ISogCLR])
def test_blocks_and_state_stay_outside_the_graph_and_give_the_same(make: Callable[[], Loss]) -> None:
    for rows in (None, 5):
        compiled = outcome(make(), rows, lambda step: torch.compile(step, backend="aot_eager"))
        torch.testing.assert_close(compiled, outcome(make(), rows, None))


def test_generated_code_gives_the_same() -> None:
    compiled = outcome(TemperatureFree(), None, lambda step: torch.compile(step, fullgraph=True))
    torch.testing.assert_close(compiled, outcome(TemperatureFree(), None, None))
