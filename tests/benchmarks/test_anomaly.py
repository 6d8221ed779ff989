"""The anomaly benchmark as a whole, on small synthetic idx files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.benchmarks.anomaly import AnomalyDetection
from suite.benchmarks.anomaly.evaluate import detection, spherical_distance_to_nearest
from suite.benchmarks.anomaly.task import AnomalyTask
from suite.data import locate as locate_real
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.pairs import normalise
from suite.training import Context, Task, evaluate, train
from suite.training.streams import Streams
from tests.benchmarks.anomaly_factory import TINY, write_files, write_part
from tests.benchmarks.images_factory import ImageConformance, Locate, context


class TestConformance(ImageConformance):
    write = staticmethod(write_files)
    write_part = staticmethod(write_part)
    benchmark = TINY
    primary = "roc_auc"
    references = ("chance", "raw", "untrained", "pretrained", "supervised")


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_files(tmp_path_factory.mktemp("images"))


def steps(task: Task) -> list[Step]:
    return [
        Step(index, index // task.steps_per_epoch, index % task.steps_per_epoch)
        for index in range(task.epochs * task.steps_per_epoch)
    ]


def test_only_images_of_the_normal_class_are_trained_on(locate: Locate) -> None:
    task = TINY.task(context(locate))
    whole = {pixels.numpy().tobytes(): int(label) for pixels, label in zip(*_training(task), strict=True)}
    for label, normal in zip(TINY.classes, task.normal, strict=True):
        assert len(normal) == 50
        assert {whole[pixels.numpy().tobytes()] for pixels in normal} == {label}
    validation = {pixels.numpy().tobytes() for pixels in task.validation.pixels}
    assert not validation & whole.keys()


def _training(task: AnomalyTask) -> tuple[torch.Tensor, torch.Tensor]:
    return task.training.pixels, task.training.labels


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


@pytest.mark.parametrize("shift", [True, False])
def test_the_shift_is_by_the_centre_of_normal_features_before_training(locate: Locate, shift: bool) -> None:
    task = replace(TINY, shift=shift, crop=1.0, aspect=1.0, flip=0.0, jitter=0.0).task(context(locate))
    train(task, InfoNCE(0.5), Streams(0))
    step = steps(task)[0]
    pairs = task.objective(step).pairs
    assert pairs is not None
    with torch.no_grad():
        centre = normalise(task.start(task.normal[0] / 255)).mean(dim=0)
        rows = normalise(task.model[0](task.normal[0][task.turn(step)[1]] / 255)) - (centre if shift else 0)
    cosines = normalise(rows) @ normalise(rows).T
    assert torch.allclose(pairs.similarity.detach(), cosines.repeat(2, 2), atol=1e-4)


def test_classes_start_from_the_same_weights_and_end_in_different_ones(locate: Locate) -> None:
    task = TINY.task(context(locate))
    one, two = task.model
    assert torch.equal(one.filters, two.filters)
    train(task, InfoNCE(0.5), Streams(0))
    assert not torch.equal(one.filters, two.filters)
    assert not torch.equal(one.filters, task.start.filters)


def test_metrics_are_means_over_the_classes_of_the_unshifted_features(locate: Locate) -> None:
    task = TINY.task(context(locate))
    train(task, InfoNCE(0.5), Streams(0))
    expected = []
    for label, encoder, normal in zip(TINY.classes, task.model, task.normal, strict=True):
        with torch.no_grad():
            scores = spherical_distance_to_nearest(encoder(normal / 255), encoder(task.validation.pixels / 255))
        expected.append(detection(scores, task.validation.labels != label))
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


def test_pretraining_depends_on_the_digits_and_the_seed_alone(locate: Locate, tmp_path: Path) -> None:
    other = write_files(tmp_path)
    write_part(tmp_path / "fashion_mnist", "train", 600, seed=7)
    filters = TINY.task(context(locate)).start.filters
    assert torch.equal(TINY.task(context(other)).start.filters, filters)
    assert not torch.equal(TINY.task(context(locate, 1)).start.filters, filters)
    write_part(tmp_path / "mnist", "train", 199, seed=6)
    assert not torch.equal(TINY.task(context(other)).start.filters, filters)


# --- diagnostics


def test_diagnostics_are_of_normal_validation_images(locate: Locate) -> None:
    task = replace(TINY, classes=(3,)).task(context(locate))
    before = task.diagnostics()
    assert set(before) == {"uniformity", "effective_rank", "centre_cosine"}
    normal = task.validation.labels == 3
    features = normalise(task.model[0](task.validation.pixels[normal] / 255).detach())
    cosines = torch.nn.functional.cosine_similarity(features, features.mean(dim=0, keepdim=True))
    assert before["centre_cosine"] == pytest.approx(float(cosines.mean()), abs=1e-6)
    task.validation.pixels[~normal] = 0
    assert task.diagnostics() == before


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
    other = replace(TINY, filters=2).task(context(locate, 5)).reference("raw")
    assert other == TINY.task(context(locate)).reference("raw")


def test_untrained_is_not_pretrained(locate: Locate) -> None:
    task = TINY.task(context(locate))
    assert task.reference("untrained") != task.reference("pretrained")
    assert task.reference("untrained") != TINY.task(context(locate, 1)).reference("untrained")


def test_supervised_starts_from_the_pretrained_encoder_and_learns_from_anomalies(locate: Locate) -> None:
    task = replace(TINY, epochs=30).task(context(locate))
    supervised = task.reference("supervised")
    assert isinstance(supervised, Task)
    assert torch.equal(supervised.model.state_dict()["1.0.filters"], task.start.filters)
    assert supervised.objective(Step(0, 0, 0)).pairs is None
    before = supervised.evaluate("val")
    train(supervised, None, Streams(0))
    after = supervised.evaluate("val")
    assert after["roc_auc"] > before["roc_auc"] + 0.3


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ()}, r"classes should be different ones of 0 to 9, got \[\]"),
        ({"classes": (1, 1)}, r"classes should be different ones of 0 to 9, got \[1, 1\]"),
        ({"classes": (10,)}, r"classes should be different ones of 0 to 9, got \[10\]"),
        ({"size": 4}, "filters of odd size, fewer than its square, expected, got 16 of 4"),
        ({"size": 3, "filters": 9}, "filters of odd size, fewer than its square, expected, got 9 of 3"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnomalyDetection(**settings)


def test_an_unknown_split_is_refused(locate: Locate) -> None:
    with pytest.raises(ValueError, match="'val' or 'test' expected, got 'train'"):
        TINY.task(context(locate)).evaluate("train")


# --- the real data


@pytest.mark.data
def test_the_pretrained_encoder_beats_raw_pixels() -> None:
    settings = AnomalyDetection(classes=(0, 2, 6), val_images=3000, test_images=1000)
    task = settings.task(Context(Streams(100), torch.device("cpu"), locate_real))
    raw, pretrained = task.reference("raw"), task.reference("pretrained")
    assert isinstance(raw, dict)
    assert isinstance(pretrained, dict)
    # torch.cdist and a plain loop over the classes give .8767.
    assert raw["val/roc_auc"] == pytest.approx(0.8767, abs=1e-4)
    assert pretrained["val/roc_auc"] > raw["val/roc_auc"] + 0.01
