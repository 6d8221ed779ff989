"""Two processes give the loss and the gradients of one process on the joined batch; a lost one is no silence."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn

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
from suite.losses.steps import Step, Training
from suite.pairs import Pairs, cross_view, labelled, two_view, with_queue
from suite.pairs.gather import PartnerLost, rank, world_size
from suite.training import Context, train
from suite.training.distributed import agreed, from_first, start, stop, with_whole_batch_statistics
from suite.training.streams import Streams
from tests.processes import result_of, started
from tests.toys import Blobs

PROCESSES, SAMPLES = 2, 6

pytestmark = pytest.mark.slow


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
    "dhel": DHEL,
    "siglip": SigLIP,
    "relative_siglip": RelativeSigLIP,
    "pps": PPS,
    "focal": FocalInfoNCE,
    "isogclr": ISogCLR,
    "adap_tau": AdapTau,
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
    training = Training(SAMPLES, 1, 1)
    loss.double().prepare(training)
    loss.start(training.step(0))
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
        and not (pairs != "two_view" and getattr(LOSSES[name](), "needs_views", False))
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


# --- batch normalisation


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(4), (6, 4)),
        (nn.BatchNorm2d(4, momentum=None), (3, 4, 2, 5)),
        (nn.BatchNorm1d(4, affine=False, track_running_stats=False), (6, 4, 3)),
    ],
)
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_batch_normalisation_over_all_processes_is_torchs_where_there_is_one(
    norm: nn.Module, shape: tuple[int, ...], kind: torch.dtype
) -> None:
    wide = torch.float64 if kind == torch.float64 else torch.float32
    theirs, ours = (deepcopy(norm).to(wide) for _ in range(2))
    ours = with_whole_batch_statistics(ours)
    assert type(ours) is not type(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for seed in range(3):
        found = []
        for module in (theirs, ours):
            x = (3 * _draw(seed, *shape) + 7).to(kind).requires_grad_()
            y = module(x if module is ours else x.to(wide)).to(kind)
            y.backward(_draw(seed + 9, *shape).to(kind))
            found.append([y.detach(), x.grad, *(p.grad for p in module.parameters()), *module.buffers()])
        torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(ours.eval()(x.to(wide)), theirs.eval()(x.to(wide)))


# --- a partner that is lost


def dies(number: int, folder: Path) -> str:
    """The last process is killed in the middle of a training; returns what becomes of the first."""

    class Deadly(InfoNCE):
        def start(self, step: Step) -> None:
            if step.index == 2 and number == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    streams = Streams(0, number)
    task = Blobs().task(Context(streams, torch.device("cpu"), lambda dataset, member: folder))
    return lost(lambda: train(task, Deadly(0.2), streams))


def fails(number: int, folder: Path) -> str:
    """The last process meets an error of its own and leaves."""
    if number == 1:
        stop()
        return ""
    return lost(lambda: from_first(None) or agreed(False))


def stalls(number: int, folder: Path) -> str:
    """The last process lives but does not answer."""
    if number == 1:
        signal.pause()
    return lost(lambda: agreed(False))


def lost(call: Callable[[], object]) -> str:
    with pytest.raises(PartnerLost) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("work", "timeout"), [(dies, timedelta(minutes=2)), (fails, timedelta(minutes=2)), (stalls, timedelta(seconds=2))]
)
def test_a_partner_that_is_lost_becomes_an_exception(
    work: Callable[[int, Path], str], timeout: timedelta, tmp_path: Path
) -> None:
    processes = started(2, work, tmp_path, timeout=timeout)
    try:
        assert "another process of this run has died or did not answer in time" in result_of(0, processes[0], tmp_path)
    finally:
        processes[1].kill()


def test_a_process_without_partners_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    start("cpu")
    assert (rank(), world_size()) == (0, 1)
    assert from_first("alone") == "alone"
    assert not agreed(False)
    stop()


def test_a_process_that_nothing_tells_of_partners_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SLURM", "SUBMITIT", "RANK", "WORLD", "MASTER"))]:
        monkeypatch.delenv(name)
    with pytest.raises(RuntimeError, match="environment"):
        start("cpu")
