"""Published protocols on colour images as benchmarks: three real steps, pairs, references, schedules."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from suite.benchmarks.image.colour import ColourImageClassification
from suite.benchmarks.image.colour.data import DATASETS
from suite.benchmarks.image.colour.task import ColourMomentumTask, ColourTask
from suite.conformance.benchmark import BenchmarkConformance
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.training import Compute, Context, evaluate, train
from suite.training.streams import Streams
from tests.benchmarks.colour_factory import TINY, below, context, small_folder, write_folder

__all__ = ["small_folder"]

MOCO = replace(TINY, framework="moco", normalised_head=False)


class SmallNetwork(nn.Module):
    """In place of a residual network, where it is not what a test is about: hundreds of steps in a second."""

    def __init__(self, name: str, stem: str) -> None:
        super().__init__()
        self.features = 24
        layers = [nn.Conv2d(3, 24, 4, stride=4, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, 24, bias=False))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(images)
        return features


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suite.benchmarks.image.colour.task.ResNet", SmallNetwork)


class ColourConformance(BenchmarkConformance):
    """What every protocol has to fulfil, on a few images."""

    benchmark: ColourImageClassification
    primary = "knn_accuracy"
    references = ("chance", "raw", "untrained", "supervised")

    @pytest.fixture(autouse=True)
    def _folder(self, small_folder: Path, tmp_path: Path) -> None:
        self.folder, self.own = small_folder, tmp_path

    def context(self, seed: int) -> Context:
        return context(below(self.folder), seed)

    def with_other_test_items(self, context: Context) -> Context:
        write_folder(self.own, "test", 40, seed=99, are_grey=True)
        return replace(context, data=lambda dataset, part: (self.own if part == "test/" else self.folder) / part)


class TestColourSimCLR(ColourConformance):
    benchmark = TINY


class TestColourMoCo(ColourConformance):
    benchmark = MOCO


# --- what a step minimises


def test_both_frameworks_share_weights_order_and_views(small_folder: Path) -> None:
    one, two = (settings.task(context(below(small_folder))) for settings in (TINY, MOCO))
    assert isinstance(two, ColourMomentumTask)
    for name, weight in one.model.encoder.state_dict().items():
        assert torch.equal(two.model.encoder.state_dict()[name], weight), name
        assert torch.equal(two.model.key.encoder.state_dict()[name], weight), name
    for mine, other in zip(one.views(Step(3, 0, 3)), two.views(Step(3, 0, 3)), strict=True):
        assert torch.equal(mine, other)


def test_a_symmetric_step_of_moco_sets_each_view_against_the_other_s_key(small_folder: Path) -> None:
    tasks = [replace(MOCO, symmetric=both).task(context(below(small_folder))) for both in (True, False)]
    both, one = (task.objective(Step(0, 0, 0)).pairs for task in tasks)
    assert both is not None
    assert one is not None
    assert (len(both), len(one)) == (96, 48)
    torch.testing.assert_close(both.similarity[:48], one.similarity, rtol=0, atol=1e-5)
    assert torch.equal(both.index, one.index.repeat(2))
    queues = [task.model.state_dict()["queue"] for task in tasks]
    assert torch.equal(queues[0][:48], queues[1][:48])
    assert torch.equal(queues[0][96:], queues[1][48:-48])


def test_all_training_images_are_trained_on_and_the_test_has_all_their_labels(small_folder: Path) -> None:
    task = TINY.task(context(below(small_folder)))
    assert len(task.items) == 240
    assert (len(task.known), len(task.validation)) == (220, 20)
    assert torch.equal(task._gallery("test"), torch.arange(240))
    assert not set(task._gallery("val").tolist()) & set(task._queries("val").tolist())
    supervised = task.reference("supervised")
    assert isinstance(supervised, ColourTask)
    assert torch.equal(supervised.items, task.known)


def test_fewer_images_are_trained_on_in_equal_shares_and_nothing_else_changes(small_folder: Path) -> None:
    plain, fewer = (replace(TINY, train_images=n).task(context(below(small_folder))) for n in (None, 100))
    assert torch.bincount(fewer.images.labels[fewer.items]).tolist() == [10] * 10
    assert (fewer.samples, fewer.steps_per_epoch) == (100, 2)
    for split in ("val", "test"):
        assert torch.equal(fewer._gallery(split), plain._gallery(split))
    assert fewer.evaluate("val") == plain.evaluate("val")


def test_a_long_tail_is_trained_on_and_the_labelled_images_stay_balanced(small_folder: Path) -> None:
    plain, tailed = (replace(TINY, batch=20, imbalance=i).task(context(below(small_folder))) for i in (1.0, 24.0))
    counts = torch.bincount(tailed.images.labels[tailed.items])
    assert (int(counts[0]), int(counts[9])) == (24, 1)
    assert all(first >= second for first, second in pairwise(counts.tolist()))
    assert torch.equal(tailed._gallery("test"), plain._gallery("test"))
    train(tailed, InfoNCE(0.2), Streams(0))
    assert tailed.evaluate("val").keys() == plain.evaluate("val").keys()


def test_chunks_give_the_same_similarities_where_batches_are_not_normalised(small_folder: Path) -> None:
    def gradients(chunk: int | None) -> list[torch.Tensor]:
        task = replace(TINY, chunk=chunk, normalised_head=False).task(context(below(small_folder)))
        task.model.eval()  # running statistics, so that a chunk is normalised as the whole is
        pairs = task.objective(Step(0, 0, 0)).pairs
        assert pairs is not None
        InfoNCE(0.2)(pairs).backward()
        return [weight.grad for weight in task.model.parameters() if weight.grad is not None]

    for whole, parts in zip(gradients(None), gradients(16), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)


def test_the_last_weights_are_evaluated_and_training_spreads_the_features(small_folder: Path) -> None:
    task, fresh = (replace(TINY, epochs=6).task(context(below(small_folder))) for _ in range(2))
    before = task.diagnostics()
    train(task, InfoNCE(0.2), Streams(0))
    after, metrics = task.diagnostics(), evaluate(task)
    assert after["uniformity"] < before["uniformity"]
    fresh.model.load_state_dict(task.model.state_dict())
    assert fresh.diagnostics() == after
    assert evaluate(fresh) == metrics


@pytest.mark.parametrize("settings", [TINY, MOCO])
def test_views_are_made_in_float32_whatever_the_precision(
    small_folder: Path, settings: ColourImageClassification
) -> None:
    exact, rounded = (settings.task(context(below(small_folder))) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rounded.views(Step(0, 0, 0))[0], exact.views(Step(0, 0, 0))[0])
    train(rounded, InfoNCE(0.2), Streams(0), compute=Compute(precision="bfloat16"))


# --- networks, rates, optimisers


@pytest.mark.parametrize(("stem", "side"), [("cifar", 4), ("imagenet", 1)])
def test_the_stem_for_small_images_keeps_their_resolution(stem: str, side: int) -> None:
    from suite.benchmarks.image.colour.encoder import ResNet

    network = ResNet("resnet18", stem).network.eval()  # type: ignore[arg-type]
    sides: list[int] = []
    network.layer4.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    assert sides == [side]


def test_the_networks_are_torchvision_s() -> None:
    from torchvision import models

    from suite.benchmarks.image.colour.encoder import ResNet

    for name, make, features in (("resnet18", models.resnet18, 512), ("resnet50", models.resnet50, 2048)):
        ours, theirs = ResNet(name, "imagenet"), make(weights=None)  # type: ignore[arg-type]
        theirs.fc = nn.Identity()
        assert ours.features == features
        theirs.load_state_dict(ours.network.state_dict())


def test_rates_are_those_of_torch_s_schedule_by_epoch(small_folder: Path) -> None:
    settings = replace(TINY, epochs=7)
    task = settings.task(context(below(small_folder)))
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
    steps = task.epochs * task.steps_per_epoch
    for epoch in range(7):
        for within in range(task.steps_per_epoch):
            found = task.rate((epoch * task.steps_per_epoch + within) / steps)
            assert found == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


def test_a_warm_up_rises_and_falls_by_steps(small_folder: Path) -> None:
    task = replace(TINY, epochs=10, warm_up=2).task(context(below(small_folder)))
    rates = [task.rate(index / 60) for index in range(60)]
    assert rates[:12] == sorted(rates[:12])
    assert rates[12:] == sorted(rates[12:], reverse=True)
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] > 0


def test_lars_is_lightly_s() -> None:
    from lightly.utils.lars import LARS as Theirs

    from suite.benchmarks.image.colour.optimise import LARS, without_decay_of_vectors

    def trained(make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        for weight in model.parameters():
            weight.data = torch.randn(weight.shape, generator=generator)
        optimizer = make(without_decay_of_vectors([{"params": list(model.parameters())}]))
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(8, 5, generator=generator)).square().mean().backward()
            optimizer.step()
        return [weight.detach() for weight in model.parameters()]

    settings: dict[str, Any] = {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.1}
    for ours, theirs in zip(
        trained(lambda groups: LARS(groups, **settings)),
        trained(lambda groups: Theirs(groups, **settings)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


# --- settings


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"dataset": "cifar"}, "dataset should be one of cifar10"),
        ({"blurred": 0.5, "kernel": 22}, "kernel should be odd"),
        ({"blurred": 0.5, "kernel": 65}, "its half less than 32 pixels"),
        ({"hue": 0.6}, "at most half of the circle"),
        ({"imbalance": 10.0, "train_images": 100}, "left out with a long tail, got 100"),
        ({"framework": "moco", "queue": 255}, "at least the 256 keys of a step, got 255"),
    ],
)
def test_impossible_settings_are_refused(settings: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ColourImageClassification(**settings)


def test_subsets_that_no_class_fills_are_refused(small_folder: Path) -> None:
    task = replace(TINY, gallery_images=1000).task(context(below(small_folder)))
    with pytest.raises(ValueError, match="a multiple of 10 up to 220 expected, got 1000"):
        task.evaluate("val")
    with pytest.raises(ValueError, match="a multiple of 10 up to 240 expected, got 105"):
        replace(TINY, train_images=105).task(context(below(small_folder)))


def test_every_data_set_is_in_the_catalogue_with_the_members_that_are_asked_for() -> None:
    from suite.data import catalogue

    for name, reader in DATASETS.items():
        members = {member for part in ("train", "test") for member in reader.members(part)}  # type: ignore[arg-type]
        assert members <= set(catalogue()[name].members), name
