"""Two processes give the loss and the gradients of one process on the joined batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

from suite.losses import (
    DCL,
    DCLW,
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
)
from suite.pairs import Pairs, cross_view, labelled, two_view, with_queue
from suite.steps import Training

PROCESSES, SAMPLES = 2, 6


class Whole(Loss):
    """A user's loss that is no mean over anchors: it needs the whole matrix."""

    def forward(self, pairs: Pairs) -> Tensor:
        candidates = pairs.similarity.where(pairs.candidate, 0.0)
        return candidates.square().sum().sqrt() - pairs.similarity[pairs.positive].mean()


LOSSES: dict[str, Callable[[], Loss]] = {
    "infonce": lambda: InfoNCE(0.2),
    "temperature_free": TemperatureFree,
    "dystress": DySTreSS,
    "monotone": MonotoneTemperature,
    "macl": MACL,
    "learnable": lambda: LearnableTemperature(0.2),
    "schedule": TemperatureSchedule,
    "dcl": DCL,
    "dclw": DCLW,
    "siglip": SigLIP,
    "isogclr": ISogCLR,
    "whole": Whole,
}
PAIRS: dict[str, Callable[[Tensor, Tensor, Tensor], Pairs]] = {
    "two_view": lambda a, b, y: two_view(a, b),
    "cross_view": lambda a, b, y: cross_view(a, b),
    "symmetric": lambda a, b, y: cross_view(a, b, symmetric=True),
    "with_queue": lambda a, b, y: with_queue(a, b, _draw(3, 5, 5)),
    "labelled": lambda a, b, y: labelled(a, y),
}


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _step(loss: Loss, pairs: str, rows: slice, model: nn.Module) -> dict[str, Any]:
    """Return value, gradients and state of one step on some rows of the batch."""
    labels = torch.tensor([0, 1, 0, 2, 1, 0])  # one anchor has no positive
    views = (model(_draw(seed, SAMPLES, 7)[rows]) for seed in (1, 2))
    loss.double().prepare(Training(SAMPLES, 1, 1))
    value = loss(PAIRS[pairs](*views, labels[rows]))
    value.backward()
    gradients = {name: parameter.grad for name, parameter in loss.named_parameters()}
    for gradient in gradients.values():  # DistributedDataParallel would average those, too
        if distributed.is_initialized():
            distributed.all_reduce(gradient)
            gradient /= PROCESSES
    weight = next(model.parameters()).grad
    return {"value": value.detach(), "encoder": weight, "gradients": gradients, "state": dict(loss.named_buffers())}


def _model() -> nn.Linear:
    model = nn.Linear(7, 5, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(_draw(0, 5, 7))
    return model


def _process(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=number, world_size=PROCESSES)
    share = SAMPLES // PROCESSES
    rows = slice(number * share, (number + 1) * share)
    results = {}
    for name, pairs in _cases():
        model = nn.parallel.DistributedDataParallel(_model())
        results[name, pairs] = _step(LOSSES[name](), pairs, rows, model)
    torch.save(results, f"{folder}/{number}.pt")
    distributed.destroy_process_group()


def _cases() -> list[tuple[str, str]]:
    return [
        (name, pairs)
        for name in LOSSES
        for pairs in PAIRS
        if not (pairs == "labelled" and getattr(LOSSES[name](), "needs_one_positive", False))
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, str], Any]]:
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(_process, (str(folder),), nprocs=PROCESSES)
    return [torch.load(Path(folder) / f"{number}.pt") for number in range(PROCESSES)]


@pytest.mark.parametrize(("name", "pairs"), _cases(), ids=["-".join(case) for case in _cases()])
def test_two_processes_are_one_process_on_the_joined_batch(
    name: str, pairs: str, results: list[dict[tuple[str, str], Any]]
) -> None:
    one = _step(LOSSES[name](), pairs, slice(None), _model())
    for of_process in results:
        torch.testing.assert_close(of_process[name, pairs], one, rtol=1e-10, atol=1e-12)
