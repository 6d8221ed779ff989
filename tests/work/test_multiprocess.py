"""A run that is spread over processes is the run of one, as far as nothing is drawn in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suite.benchmarks.base import Benchmark
from suite.benchmarks.image.moco import MomentumModel
from suite.losses import DCL, DySTreSS, InfoNCE, ISogCLR, LearnableTemperature, Loss, SigLIP, TemperatureFree
from suite.losses.steps import Step
from suite.pairs import Pairs, cross_view, two_view, with_queue
from suite.pairs.gather import rank, weighted, world_size
from suite.records.files import atomic_write
from suite.training import (
    Batches,
    Checkpoint,
    Context,
    Interrupted,
    Metrics,
    NonFiniteLoss,
    Objective,
    Task,
    distributed,
    evaluate,
)
from suite.training import train as train_task
from suite.training.streams import Streams
from tests.benchmarks import images_factory, text_factory
from tests.benchmarks.test_recommendation import TINY as RECOMMENDATION
from tests.benchmarks.test_recommendation import successors
from tests.benchmarks.test_recommendation import write as write_log
from tests.processes import of_submitit, results

ITEMS, BATCH, EPOCHS = 30, 12, 3
PRIMARY = {"text": "spearman", "mabel": "spearman", "recommendation": "ndcg_10"}


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Encoder(nn.Module):
    """Two layers, with or without batch normalisation, a parameter that one item uses, and one that none does."""

    def __init__(self, batch_norm: bool, more: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(8) if batch_norm else nn.Identity()
        self.encoder = nn.Sequential(nn.Linear(7, 8), norm, nn.Tanh())
        self.head = nn.Linear(8, 5)
        if more:
            self.rare, self.unused = nn.Parameter(torch.ones(8)), nn.Parameter(torch.ones(3))

    def forward(self, points: Tensor) -> Tensor:
        embedded: Tensor = self.head(self.encoder(points))
        return embedded


class Plain(Task):
    """Draws nothing but weights and order, in float64."""

    samples, epochs = ITEMS, EPOCHS

    def __init__(self, streams: Streams, pairs: str = "two_view", batch_norm: bool = False, term: bool = False) -> None:
        self.batches = Batches(ITEMS, BATCH, streams)
        self.steps_per_epoch = self.batches.per_epoch
        self.pairs, self.term = pairs, term
        self.points = draw(0, ITEMS, 7), draw(1, ITEMS, 7)
        with streams.seeded("weights"):
            self.model: Any = Encoder(batch_norm, term).double()
        if pairs == "with_queue":
            self.model = MomentumModel(self.model, draw(2, 18, 5), momentum=0.9)

    def objective(self, step: Step) -> Objective:
        index = self.batches[step]
        first, second = (points[index] for points in self.points)
        term = self.auxiliary(index, first) if self.term else None
        if self.pairs == "with_queue":
            self.model.update_key()
            keys = self.model.key(second)
            pairs: Pairs = with_queue(self.model(first), keys, self.model.queue, index)
            self.model.enqueue(keys)
        else:
            views = self.model(torch.cat([first, second])).chunk(2)
            pairs = cross_view(*views, index) if self.pairs == "cross_view" else two_view(*views, index)
        return Objective(pairs, term, weight=0.7)

    def auxiliary(self, index: Tensor, points: Tensor) -> Tensor:
        """A mean over other numbers of items in every process; a parameter takes part where item 0 does."""
        some = index % 7 < 5
        mean = self.model.encoder(points[some]).square().mean()
        if (index == 0).any():
            mean = mean + (self.model.rare.square().sum() / some.sum())
        return weighted(mean, some.sum())

    def evaluate(self, split: str) -> Metrics:
        return {"norm": sum(float(parameter.detach().square().sum()) for parameter in self.model.parameters())}

    def optimizer(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)


LOSSES: Mapping[str, Callable[[], Loss]] = {
    "infonce": lambda: InfoNCE(0.2),
    "temperature_free": TemperatureFree,
    "dystress": DySTreSS,
    "dcl": DCL,
    "siglip": SigLIP,
    "isogclr": ISogCLR,
    "learnable": lambda: LearnableTemperature(0.2),
}
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, {}) for name in LOSSES},
    "cross_view": ("infonce", {"pairs": "cross_view"}),
    "queue": ("infonce", {"pairs": "with_queue", "batch_norm": True}),
    "batch_norm": ("infonce", {"batch_norm": True}),
    "term": ("learnable", {"term": True}),
    "term_and_batch_norm": ("isogclr", {"term": True, "batch_norm": True}),
}


def plain(case: str, **options: Any) -> dict[str, Any]:
    """Return all that comes of a training in this process."""
    name, settings = CASES[case]
    return trained(lambda streams: Plain(streams, **settings), LOSSES[name]().double(), **options)


def trained(make: Callable[[Streams], Task], loss: Loss | None, **options: Any) -> dict[str, Any]:
    streams, reports = Streams(0, rank()), []
    task = make(streams)
    try:
        train_task(task, loss, streams, lambda step, metrics: reports.append((step.index, dict(metrics))), **options)
        ended = None
    except (Interrupted, NonFiniteLoss) as error:
        ended = f"{type(error).__name__}: {error}"
    return {
        "model": copy(task.model),
        "loss": copy(loss) if loss is not None else {},
        "reports": reports,
        "ended": ended,
        "metrics": evaluate(task) if rank() == 0 else None,  # while the others go on
    }


def copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


# --- what two and three processes do


class NaNInOne(InfoNCE):
    """Not finite in the last process alone, from the third step on."""

    def __init__(self) -> None:
        super().__init__(0.2)
        self.calls = 0

    def forward(self, pairs: Pairs) -> Tensor:
        self.calls += 1
        is_bad = self.calls > 2 and rank() == world_size() - 1
        return super().forward(pairs) * (math.nan if is_bad else 1.0)


def save(path: Path, state: Mapping[str, Any]) -> None:
    atomic_write(path, lambda file: torch.save(state, file))


def equal_to_one(number: int, folder: Path) -> dict[str, Any]:
    return {case: plain(case) for case in CASES}


def images(folder: Path, **settings: Any) -> Callable[[Streams], Task]:
    files = folder / str(rank())
    if not files.exists():
        files.mkdir()
        images_factory.write_images(files)
    benchmark = replace(images_factory.TINY, **settings)
    return made(benchmark, lambda dataset, member: files / member)


def made(benchmark: Benchmark, locate: Callable[[str, str], Path]) -> Callable[[Streams], Task]:
    return lambda streams: benchmark.task(Context(streams, torch.device("cpu"), locate))


def benchmarks(folder: Path) -> dict[str, Any]:
    """Train all benchmarks that can be spread, tiny ones."""
    sentences = text_factory.write_files(folder / f"text{rank()}")
    log = write_log(folder / f"log{rank()}", successors())
    tasks = {
        "image": images(folder, epochs=8),
        "moco": images(folder, framework="moco", queue=120),
        "supervised": lambda streams: images(folder)(streams).reference("supervised"),
        "text": made(replace(text_factory.TINY, epochs=1), sentences),
        "mabel": made(replace(text_factory.TINY, epochs=1, framework="mabel"), sentences),
        "recommendation": made(replace(RECOMMENDATION, epochs=1), lambda dataset, member: log),
    }
    return {name: trained(make, None if name == "supervised" else InfoNCE(0.5)) for name, make in tasks.items()}


def everything_else(number: int, folder: Path) -> dict[str, Any]:
    """Return what the tests of two processes look at."""
    distributed.start("cpu")  # again: nothing happens
    found = equal_to_one(number, folder)
    found["rank"], found["world_size"] = rank(), world_size()
    found["agreed"] = [distributed.agreed(flag) for flag in (False, number == 1, number == 0, True)]
    found["from_first"] = distributed.from_first({"next": number, "is": [None, "x" * number]})
    found["waited"] = met(number)
    found["averaged"] = averaged(number)
    found["not finite"] = trained(Plain, NaNInOne().double())
    found["benchmarks"] = benchmarks(folder)
    found["others' streams"] = refused(lambda: train_task(Plain(Streams(0)), InfoNCE(0.2), Streams(0, 2)))
    found["odd batch"] = refused(lambda: Batches(100, 25, Streams(0)))
    found["whole"], found["stopped"], found["resumed"] = interrupted(number, folder)
    return found


def met(number: int) -> float:
    """Come late to where all meet, as the second process; return how long this one waited."""
    distributed.meet()
    time.sleep(0.5 * number)
    began = time.monotonic()
    distributed.meet()
    return time.monotonic() - began


def averaged(number: int) -> list[Tensor | None]:
    one = nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
    other, none = (nn.Parameter(torch.zeros(2, 3)) for _ in range(2))
    one.grad = torch.full_like(one, 2.0 + number)
    if number == 1:
        other.grad = torch.full_like(other, 3.0)
    distributed.average_gradients([one, other, none])
    return [one.grad, other.grad, none.grad]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


def interrupted(number: int, folder: Path) -> tuple[dict[str, Any], ...]:
    """Stop the image benchmark after a step at the second process's wish, and go on; only the first has a file."""
    checkpoint = Checkpoint(folder / f"checkpoint{number}.pt", lambda: False, save)
    asked = iter(range(1, 100))
    stop = lambda: next(asked) == 3 and number == 1  # noqa: E731
    whole = trained(images(folder), LearnableTemperature(0.5))
    stopped = trained(images(folder), LearnableTemperature(0.5), checkpoint=checkpoint, stop=stop)
    torch.rand(17)
    return whole, stopped, trained(images(folder), LearnableTemperature(0.5), checkpoint=checkpoint)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return results(2, everything_else, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return results(3, equal_to_one, tmp_path_factory.mktemp("three"), environment=of_submitit)


# --- what holds


@pytest.mark.parametrize("processes", ["two", "three"])
@pytest.mark.parametrize("case", CASES)
def test_a_training_of_several_processes_is_that_of_one(
    case: str, processes: str, request: pytest.FixtureRequest
) -> None:
    one, several = plain(case), request.getfixturevalue(processes)
    assert len(one["reports"]) == EPOCHS * (ITEMS // BATCH)
    for part in ("model", "loss"):
        for of_process in several:
            torch.testing.assert_close(of_process[case][part], one[part], rtol=1e-9, atol=1e-11)
            assert_same(of_process[case][part], several[0][case][part])
    assert [step for step, _ in several[0][case]["reports"]] == [step for step, _ in one["reports"]]
    for (_, mine), (_, expected) in zip(several[0][case]["reports"], one["reports"], strict=True):
        assert mine == pytest.approx(expected, rel=1e-9)
    assert several[0][case]["metrics"] == pytest.approx(one["metrics"], rel=1e-9)
    assert all(of_process[case]["reports"] == [] for of_process in several[1:])


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_processes_know_each_other_and_agree(two: list[dict[str, Any]]) -> None:
    assert [(process["rank"], process["world_size"]) for process in two] == [(0, 2), (1, 2)]
    for process in two:
        assert process["agreed"] == [False, True, True, True]
        assert process["from_first"] == {"next": 0, "is": [None, ""]}
    assert two[0]["waited"] > 0.4


def test_gradients_are_averaged_and_a_missing_one_counts_as_zero_unless_all_miss_it(two: list[dict[str, Any]]) -> None:
    for process in two:
        one, other, none = process["averaged"]
        assert torch.equal(one, torch.full((2, 3), 2.5, dtype=torch.float64))
        assert torch.equal(other, torch.full((2, 3), 1.5))
        assert none is None


def test_a_loss_that_is_not_finite_in_one_process_stops_all_at_that_step(two: list[dict[str, Any]]) -> None:
    for process in two:
        assert process["not finite"]["ended"].startswith("NonFiniteLoss: the loss is nan at step 2 (epoch 1)")
    assert_same(two[0]["not finite"]["model"], two[1]["not finite"]["model"])
    assert all(bool(weight.isfinite().all()) for weight in two[0]["not finite"]["model"].values())


@pytest.mark.parametrize("name", ["image", "moco", "supervised", "text", "mabel", "recommendation"])
def test_a_benchmark_that_can_be_spread_ends_in_the_same_weights_in_all(name: str, two: list[dict[str, Any]]) -> None:
    first, second = (process["benchmarks"][name] for process in two)
    assert first["ended"] is second["ended"] is None
    assert_same(first["model"], second["model"])
    assert all(math.isfinite(value) for value in first["metrics"].values())
    assert first["metrics"].keys() >= {"val/" + PRIMARY.get(name, "few_label_accuracy")}


def test_two_processes_learn_what_one_does(two: list[dict[str, Any]], tmp_path: Path) -> None:
    one, spread = trained(images(tmp_path, epochs=8), InfoNCE(0.5)), two[0]["benchmarks"]["image"]
    (first, last), (spread_first, spread_last) = losses(one), losses(spread)
    assert last < first - 0.5
    assert (spread_first, spread_last) == pytest.approx((first, last), abs=0.15)
    assert spread["metrics"] == pytest.approx(one["metrics"], abs=0.05)
    assert spread["reports"] != one["reports"]  # other views, of the same distribution


def losses(run: Mapping[str, Any]) -> tuple[float, float]:
    """Return the first loss that was logged, and the mean of the last three."""
    logged = [metrics["train/loss"] for _, metrics in run["reports"] if "train/loss" in metrics]
    return logged[0], sum(logged[-3:]) / 3


def test_a_training_stopped_at_the_wish_of_one_process_goes_on_to_the_same_bits(two: list[dict[str, Any]]) -> None:
    for process in two:
        assert process["stopped"]["ended"] == "Interrupted: stopped after step 3"
        for part in ("model", "loss"):
            assert_same(process["resumed"][part], process["whole"][part])
    stopped, resumed, whole = (two[0][name] for name in ("stopped", "resumed", "whole"))
    assert stopped["reports"] + resumed["reports"] == whole["reports"]
    assert resumed["metrics"] == whole["metrics"]


def test_what_cannot_be_shared_out_is_refused(two: list[dict[str, Any]]) -> None:
    assert "a batch of 25 items has no equal parts for 2 processes" in two[0]["odd batch"]
    for number, process in enumerate(two):
        assert process["others' streams"] == f"this is process {number} of the run, its streams are those of process 2"


def test_processes_draw_alike_what_has_no_counters_and_else_each_its_own() -> None:
    first, second, third = (Streams(3, process) for process in range(3))
    for name in ("weights", "queue"):
        assert second.numpy(name).random() == first.numpy(name).random()
    draws = [streams.numpy("augmentation", 5).random() for streams in (first, second, third, Streams(3))]
    assert len(set(draws)) == 3
    assert draws[0] == draws[3]
    assert second.shared.numpy("order", 1).random() == first.numpy("order", 1).random()
