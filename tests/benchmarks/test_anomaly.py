"""The anomaly benchmark as a whole, on small synthetic idx files and a small network."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from suite.benchmarks.anomaly.evaluate import detection, spherical_distance_to_nearest
from suite.benchmarks.anomaly.networks import NETWORKS, Encoder
from suite.benchmarks.anomaly.task import AnomalyTask, OneClassTask, SupervisedTask
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.pairs import normalise
from suite.training import Task, evaluate, train
from suite.training.streams import Streams
from tests.benchmarks.anomaly_factory import SMALL, TINY, WEIGHTS, write_files, write_part, write_weights
from tests.benchmarks.images_factory import ImageConformance, Locate, context


@pytest.fixture(autouse=True)
def small_network() -> Iterator[None]:
    """The small network, under the name of the one that the benchmark takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "efficientnet_lite0", SMALL)
        yield


class TestConformance(ImageConformance):
    write = staticmethod(write_files)
    write_part = staticmethod(write_part)
    benchmark = TINY
    primary = "roc_auc"
    references = ("chance", "raw", "untrained", "pretrained", "supervised")


class TestConformanceWithNewViews(TestConformance):
    benchmark = replace(TINY, views=0)


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_files(tmp_path_factory.mktemp("images"))


def steps(task: Task) -> list[Step]:
    return [
        Step(index, index // task.steps_per_epoch, index % task.steps_per_epoch)
        for index in range(task.epochs * task.steps_per_epoch)
    ]


def pixels(task: OneClassTask, numbers: torch.Tensor) -> torch.Tensor:
    return task.images.plain(numbers, 1.0, 32, torch.device("cpu"))


def trained_encoder(task: AnomalyTask, place: int) -> Encoder:
    return Encoder(task.start.frozen, task.model[place])


def test_only_images_of_the_normal_class_are_trained_on(locate: Locate) -> None:
    task = TINY.task(context(locate))
    labels = task.images.labels
    for label, normal in zip(TINY.classes, task.normal, strict=True):
        assert normal.tolist() == (labels == label).nonzero().squeeze(1)[:50].tolist()
        assert not set(normal.tolist()) & set(task.validation.tolist())
    assert torch.bincount(labels[task.validation]).tolist() == [10] * 10
    with pytest.raises(ValueError, match="51 images of class 3 expected, got 50"):
        replace(TINY, normal_images=51).task(context(locate))


def test_anomalies_of_the_supervised_reference_are_of_other_classes_and_not_scored(locate: Locate) -> None:
    supervised = TINY.task(context(locate)).reference("supervised")
    assert isinstance(supervised, SupervisedTask)
    for label, (normal, against) in zip(TINY.classes, supervised.drawn, strict=True):
        assert len(normal.numbers) == len(against.numbers) == 50
        assert label not in supervised.images.labels[against.numbers]
        assert not set(against.numbers.tolist()) & set(supervised.validation.tolist())


def test_classes_take_turns_and_each_epoch_meets_every_image_once(locate: Locate) -> None:
    task = TINY.task(context(locate))
    assert (task.samples, task.steps_per_epoch) == (100, 4)
    first_epoch = [task.turn(step) for step in steps(task)[:4]]
    assert [place for place, _ in first_epoch] == [0, 1, 0, 1]
    for place in (0, 1):
        met = torch.cat([items for turn, items in first_epoch if turn == place])
        assert sorted(met.tolist()) == list(range(50))


def test_samples_of_two_classes_have_different_numbers(locate: Locate) -> None:
    task = TINY.task(context(locate))
    numbers = []
    for step in steps(task)[:4]:
        pairs = task.objective(step).pairs
        assert pairs is not None
        numbers.append(set(pairs.index.tolist()))
    assert numbers[0] | numbers[2] == set(range(50))
    assert numbers[1] | numbers[3] == set(range(50, 100))


def test_a_step_trains_the_encoder_of_one_class(locate: Locate) -> None:
    task = TINY.task(context(locate))
    pairs = task.objective(steps(task)[1]).pairs
    assert pairs is not None
    InfoNCE(0.5)(pairs).backward()
    assert all(parameter.grad is None for parameter in task.model[0].parameters())
    assert all(parameter.grad is not None for parameter in task.model[1].parameters())


@pytest.mark.parametrize("views", [0, 2])
@pytest.mark.parametrize("shift", [True, False])
def test_the_shift_is_by_the_centre_of_normal_features_before_training(locate: Locate, shift: bool, views: int) -> None:
    task = replace(TINY, shift=shift, views=views, crop=1.0, jitter=0.0).task(context(locate))
    train(task, InfoNCE(0.5), Streams(0))
    step = steps(task)[0]
    pairs = task.objective(step).pairs
    assert pairs is not None
    with torch.no_grad():
        centre = normalise(task.start(pixels(task, task.normal[0]))).mean(dim=0)
        outputs = task.drawn[0](task.turn(step)[1], step)
        rows = normalise(task.model[0](outputs)) - (centre if shift else 0)
    cosines = normalise(rows) @ normalise(rows).T
    assert torch.allclose(pairs.similarity.detach(), cosines, atol=1e-4)


@pytest.mark.parametrize("views", [0, 3])
def test_what_is_kept_of_a_view_is_what_the_whole_network_makes_of_it(locate: Locate, views: int) -> None:
    """Bit for bit: with the same draws, features of kept outputs are those of the plain forward pass."""
    task = replace(TINY, views=views).task(context(locate))
    step = steps(task)[1]
    place, items = task.turn(step)
    name, numbers = "views of class 7", task.normal[place]
    generator = Streams(0).torch(name, step.index)
    if views:
        of_all = Streams(0).torch(name)
        images = torch.stack([task.draw(numbers, of_all) for _ in range(views)])
        first = torch.randint(views, (25,), generator=generator)
        second = (first + torch.randint(1, views, (25,), generator=generator)) % views
        assert bool((first != second).all())
        images = torch.cat([images[first, items], images[second, items]])
    else:
        images = task.draw(numbers[items].repeat(2), generator)
    kept = task.drawn[place](items, step)
    assert torch.equal(kept, task.start.frozen(images))
    assert torch.equal(task.start.trained(kept), task.start(images))


def test_two_views_of_an_image_differ(locate: Locate) -> None:
    task = TINY.task(context(locate))
    views = task.drawn[0](torch.arange(50), Step(0, 0, 0))
    first, second = views.chunk(2)
    assert bool((first != second).flatten(1).any(dim=1).all())
    assert len(task.drawn[0](torch.arange(50), Step(0, 0, 0), count=1)) == 50


def test_classes_start_from_the_same_weights_and_end_in_different_ones(locate: Locate) -> None:
    task = TINY.task(context(locate))
    one, two = (module.state_dict() for module in task.model)
    weight = "1.0.weight"
    assert torch.equal(one[weight], two[weight])
    train(task, InfoNCE(0.5), Streams(0))
    assert not torch.equal(one[weight], two[weight])
    assert not torch.equal(one[weight], task.start.trained.state_dict()[weight])


def test_statistics_of_pretraining_and_the_frozen_part_stay(locate: Locate) -> None:
    task = TINY.task(context(locate))
    before = {name: value.clone() for name, value in task.start.frozen.state_dict().items()}
    train(task, InfoNCE(0.5), Streams(0))
    assert all(torch.equal(before[name], value) for name, value in task.start.frozen.state_dict().items())
    for name, value in task.start.trained.state_dict().items():
        of_class = task.model[0].state_dict()[name]
        fixed = any(part in name for part in ("running", "num_batches"))
        assert torch.equal(of_class, value) == fixed, name


def test_metrics_are_means_over_the_classes_of_the_unshifted_features(locate: Locate) -> None:
    task = TINY.task(context(locate))
    train(task, InfoNCE(0.5), Streams(0))
    expected = []
    anomalous = task.images.labels[task.validation]
    for place, (label, normal) in enumerate(zip(TINY.classes, task.normal, strict=True)):
        encoder = trained_encoder(task, place)
        with torch.no_grad():
            features = [encoder(pixels(task, numbers)) for numbers in (normal, task.validation)]
        expected.append(detection(spherical_distance_to_nearest(*features), anomalous != label))
    metrics = task.evaluate("val")
    for name in ("roc_auc", "average_precision"):
        assert metrics[name] == pytest.approx((expected[0][name] + expected[1][name]) / 2, abs=1e-6)


def test_the_change_is_against_the_pretrained_encoder(locate: Locate) -> None:
    task = TINY.task(context(locate))
    before = evaluate(task)
    assert before["val/roc_auc_change"] == before["test/roc_auc_change"] == 0.0
    pretrained = task.reference("pretrained")
    assert isinstance(pretrained, dict)
    assert {name: value for name, value in before.items() if not name.endswith("change")} == pretrained
    train(task, InfoNCE(0.5), Streams(0))
    after = evaluate(task)
    for split in ("val", "test"):
        assert after[f"{split}/roc_auc_change"] != 0.0
        difference = after[f"{split}/roc_auc"] - before[f"{split}/roc_auc"]
        assert after[f"{split}/roc_auc_change"] == pytest.approx(difference)


def test_the_start_depends_on_the_weights_alone(locate: Locate, tmp_path: Path) -> None:
    other = write_files(tmp_path)
    write_part(tmp_path / "fashion_mnist", "train", 600, seed=7)
    start = TINY.task(context(locate)).start.state_dict()
    for task in (TINY.task(context(other)), TINY.task(context(locate, 1))):
        assert all(torch.equal(start[name], value) for name, value in task.start.state_dict().items())
    write_weights(tmp_path / "efficientnet_lite0" / WEIGHTS, seed=1)
    changed = TINY.task(context(other)).start.state_dict()
    assert not torch.equal(start["trained.1.0.weight"], changed["trained.1.0.weight"])


# --- diagnostics


def test_diagnostics_are_of_normal_validation_images(locate: Locate) -> None:
    task = replace(TINY, classes=(3,)).task(context(locate))
    before = task.diagnostics()
    assert set(before) == {"uniformity", "effective_rank", "centre_cosine"}
    normal = task.images.labels[task.validation] == 3
    features = normalise(trained_encoder(task, 0)(pixels(task, task.validation[normal])).detach())
    cosines = torch.nn.functional.cosine_similarity(features, features.mean(dim=0, keepdim=True))
    assert before["centre_cosine"] == pytest.approx(float(cosines.mean()), abs=1e-6)


# --- references


def test_chance_is_half_and_the_share_of_anomalies(locate: Locate) -> None:
    chance = TINY.task(context(locate)).reference("chance")
    assert isinstance(chance, dict)
    assert {name: pytest.approx(value) for name, value in chance.items()} == {
        f"{split}/{name}": value
        for split in ("val", "test")
        for name, value in (("roc_auc", 0.5), ("average_precision", 0.9))
    }


def test_raw_does_not_depend_on_the_seed_or_the_encoder(locate: Locate) -> None:
    other = replace(TINY, size=64, centre=0.9).task(context(locate, 5)).reference("raw")
    assert other == TINY.task(context(locate)).reference("raw")


def test_untrained_is_not_pretrained(locate: Locate) -> None:
    task = TINY.task(context(locate))
    assert task.reference("untrained") != task.reference("pretrained")
    assert task.reference("untrained") != TINY.task(context(locate, 1)).reference("untrained")


def test_supervised_starts_from_the_pretrained_encoder_and_learns_from_anomalies(locate: Locate) -> None:
    task = replace(TINY, epochs=30).task(context(locate))
    supervised = task.reference("supervised")
    assert isinstance(supervised, Task)
    for name, value in task.start.trained.state_dict().items():
        assert torch.equal(supervised.model[1][0].state_dict()[name], value)
    assert supervised.objective(Step(0, 0, 0)).pairs is None
    before = supervised.evaluate("val")
    train(supervised, None, Streams(0))
    after = supervised.evaluate("val")
    assert after["roc_auc"] > before["roc_auc"] + 0.3


def test_an_unknown_split_is_refused(locate: Locate) -> None:
    with pytest.raises(ValueError, match="'val' or 'test' expected, got 'train'"):
        TINY.task(context(locate)).evaluate("train")
