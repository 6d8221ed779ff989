"""The image benchmark as a whole, on small synthetic idx files."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from suite.benchmarks.image import ImageClassification, LongTailedImageClassification
from suite.benchmarks.image.data import Images
from suite.benchmarks.image.task import ImageTask
from suite.losses import InfoNCE, Loss
from suite.losses.steps import Step
from suite.training import Checkpoint, Interrupted, Task, evaluate, geometry, train
from suite.training.streams import Streams
from tests.benchmarks.images_factory import TINY, ImageConformance, Locate, context, write_images


class TestSimCLR(ImageConformance):
    benchmark = TINY


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_images(tmp_path_factory.mktemp("fashion_mnist"))


def trained(locate: Locate, loss: Loss, benchmark: ImageClassification = TINY) -> ImageTask:
    task = benchmark.task(context(locate))
    train(task, loss, Streams(0))
    return task


def supervised(locate: Locate, benchmark: ImageClassification = TINY) -> ImageTask:
    task = benchmark.task(context(locate)).reference("supervised")
    assert isinstance(task, ImageTask)
    return task


def state(task: Task) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_gallery_and_validation_images(locate: Locate) -> None:
    task = TINY.task(context(locate))
    rows = {
        name: {image.numpy().tobytes() for image in images.pixels}
        for name, images in {"train": task.images, "gallery": task.gallery, "val": task.validation}.items()
    }
    assert {name: len(images) for name, images in rows.items()} == {"train": 200, "gallery": 100, "val": 100}
    assert not rows["val"] & (rows["train"] | rows["gallery"])


def test_the_split_does_not_depend_on_the_seed(locate: Locate) -> None:
    one, two = TINY.task(context(locate, 0)), TINY.task(context(locate, 1))
    for name in ("images", "gallery", "validation"):
        assert torch.equal(getattr(one, name).pixels, getattr(two, name).pixels)


def test_each_split_is_scored_on_its_own_labels(locate: Locate) -> None:
    task = TINY.task(context(locate))
    before = task.reference("raw")
    task.validation = replace(task.validation, labels=(task.validation.labels + 1) % 10)
    after = task.reference("raw")
    assert after["val/knn_accuracy"] < before["val/knn_accuracy"]
    assert {name: value for name, value in after.items() if name.startswith("test/")} == {
        name: value for name, value in before.items() if name.startswith("test/")
    }


def test_an_unknown_split_is_refused(locate: Locate) -> None:
    with pytest.raises(ValueError, match="'val' or 'test' expected, got 'train'"):
        TINY.task(context(locate)).evaluate("train")


def test_seeds_differ_in_weights_order_and_views(locate: Locate) -> None:
    one, two = (TINY.task(context(locate, seed)) for seed in (0, 1))
    assert not torch.equal(next(one.model.parameters()), next(two.model.parameters()))
    assert not torch.equal(one.batches[Step(0, 0, 0)], two.batches[Step(0, 0, 0)])
    two.model.load_state_dict(one.model.state_dict())
    two.batches = one.batches
    outputs = [task.outputs(Step(0, 0, 0))[0] for task in (one, two)]
    assert not torch.equal(*outputs)


def test_views_differ_between_steps_and_between_the_two_of_an_image(locate: Locate) -> None:
    task = TINY.task(context(locate))
    task.model.eval()
    first, images = task.outputs(Step(0, 0, 0))
    later, same_images = task.outputs(Step(1, 0, 0))
    assert torch.equal(images, same_images)
    assert not torch.equal(first, later)
    assert not torch.equal(*first.chunk(2))


def test_pairs_carry_the_numbers_of_the_images_and_own_view_as_positive(locate: Locate) -> None:
    task = TINY.task(context(locate))
    pairs = task.objective(Step(3, 0, 3)).pairs
    assert pairs is not None
    assert pairs.similarity.shape == (100, 100)
    assert pairs.index.tolist() == task.batches[Step(3, 0, 3)].tolist() * 2
    assert torch.equal(pairs.positive, pairs.positive.T)
    assert pairs.index[pairs.positive.nonzero()[:, 1]].tolist() == pairs.index.tolist()


def test_bfloat16_hands_over_float32_similarities_and_repeats_its_bits(locate: Locate) -> None:
    benchmark = replace(TINY, bfloat16=True, channels_last=False)
    pairs = benchmark.task(context(locate)).objective(Step(0, 0, 0)).pairs
    assert pairs is not None
    assert pairs.similarity.dtype == torch.float32
    exact = replace(benchmark, bfloat16=False).task(context(locate)).objective(Step(0, 0, 0)).pairs
    assert exact is not None
    assert 0 < float((pairs.similarity - exact.similarity).detach().abs().max()) < 0.1
    assert evaluate(trained(locate, InfoNCE(0.2), benchmark)) == evaluate(trained(locate, InfoNCE(0.2), benchmark))


def test_evaluation_follows_the_weights(locate: Locate) -> None:
    task = TINY.task(context(locate))
    raw = task.reference("raw")
    untrained = task.evaluate("val")
    train(task, InfoNCE(0.2), Streams(0))
    assert task.evaluate("val") == trained(locate, InfoNCE(0.2)).evaluate("val") != untrained
    assert task.reference("raw") == raw


# --- how features lie


def test_diagnostics_are_of_validation_images_alone(locate: Locate) -> None:
    task = trained(locate, InfoNCE(0.2))
    before = task.diagnostics()
    assert set(before) == {"alignment", "uniformity", "tolerance", "effective_rank"}
    features = task._encode(task.validation.pixels.float() / 255)
    assert before["uniformity"] == pytest.approx(geometry.uniformity(features), rel=1e-5)
    for name in ("images", "gallery"):
        setattr(task, name, blank(getattr(task, name)))
    assert task.diagnostics() == before
    task.validation = blank(task.validation)
    assert task.diagnostics()["uniformity"] == 0.0


def blank(images: Images) -> Images:
    return replace(images, pixels=torch.zeros_like(images.pixels))


def test_of_the_diagnostics_tolerance_alone_depends_on_labels(locate: Locate) -> None:
    task = TINY.task(context(locate))
    before = task.diagnostics()
    task.validation = replace(task.validation, labels=task.validation.labels.roll(1))
    after = task.diagnostics()
    assert {name for name in before if before[name] != after[name]} == {"tolerance"}


def test_alignment_is_of_views_as_strong_as_in_training(locate: Locate) -> None:
    strong, weak = (replace(TINY, crop=crop, jitter=jitter) for crop, jitter in ((0.3, 0.9), (1.0, 0.0)))
    gap = [benchmark.task(context(locate)).diagnostics()["alignment"] for benchmark in (strong, weak)]
    assert gap[0] > gap[1] > 0  # mirror images are left


def test_diagnostics_leave_no_trace_in_supervised_training(locate: Locate) -> None:
    task = supervised(locate)
    task.model.train()
    before = state(task)
    assert task.diagnostics().keys() == TINY.task(context(locate)).diagnostics().keys()
    assert task.model.training
    assert same(state(task), before)


# --- the long tail


@pytest.mark.parametrize("framework", ["simclr", "moco"])
def test_only_what_is_trained_on_has_a_long_tail(locate: Locate, framework: Literal["simclr", "moco"]) -> None:
    settings = {**vars(TINY), "framework": framework, "queue": 120}
    plain = ImageClassification(**settings).task(context(locate))
    tailed = LongTailedImageClassification(**settings, imbalance=10).task(context(locate))
    assert torch.bincount(plain.images.labels).tolist() == [20] * 10
    assert torch.bincount(tailed.images.labels).tolist() == [20, 15, 11, 9, 7, 5, 4, 3, 2, 2]
    assert tailed.samples == 78
    assert (plain.steps_per_epoch, tailed.steps_per_epoch) == (4, 1)
    for name in ("gallery", "validation"):
        assert torch.equal(getattr(tailed, name).pixels, getattr(plain, name).pixels)
    assert tailed.reference("raw") == plain.reference("raw")
    train(tailed, InfoNCE(0.2), Streams(0))
    assert tailed.evaluate("val").keys() == plain.evaluate("val").keys()


def test_without_imbalance_nothing_changes(locate: Locate) -> None:
    balanced = LongTailedImageClassification(**vars(TINY), imbalance=1.0)
    assert evaluate(trained(locate, InfoNCE(0.2), balanced)) == evaluate(trained(locate, InfoNCE(0.2)))


# --- references


def test_references_give_the_metrics_of_a_run(locate: Locate) -> None:
    task = TINY.task(context(locate))
    names = {f"{split}/{name}_accuracy" for split in ("val", "test") for name in ("knn", "linear", "few_label")}
    assert task.reference("chance") == dict.fromkeys(names, 0.1)
    assert set(task.reference("raw")) == names  # type: ignore[arg-type]
    assert evaluate(task).keys() == names


def test_raw_does_not_depend_on_the_seed_or_the_encoder(locate: Locate) -> None:
    other = replace(TINY, width=2).task(context(locate, 5)).reference("raw")
    assert other == TINY.task(context(locate)).reference("raw")


def test_supervised_starts_from_the_same_encoder_and_learns_the_classes(locate: Locate) -> None:
    task, reference = (make(locate, replace(TINY, epochs=8)) for make in (untrained, supervised))
    own = reference.model.encoder.state_dict()
    assert same(task.model.encoder.state_dict(), own)
    before = reference.evaluate("val")
    assert reference.objective(Step(0, 0, 0)).pairs is None
    train(reference, None, Streams(0))
    after = reference.evaluate("val")
    assert after["few_label_accuracy"] > before["few_label_accuracy"]
    assert after["knn_accuracy"] > 0.5


def untrained(locate: Locate, benchmark: ImageClassification) -> ImageTask:
    return benchmark.task(context(locate))


def test_a_resumed_supervised_run_ends_in_the_same_bits(locate: Locate, tmp_path: Path) -> None:
    def save(path: Path, state: object) -> None:
        torch.save(state, path)

    undisturbed, stopped, resumed = (supervised(locate) for _ in range(3))
    train(undisturbed, None, Streams(0))
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", due=lambda: False, save=save)
    with pytest.raises(Interrupted):
        train(stopped, None, Streams(0), checkpoint=checkpoint, stop=lambda: True)
    train(resumed, None, Streams(0), checkpoint=checkpoint)
    assert same(state(resumed), state(undisturbed))


# --- settings


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"train_images": 15}, "train_images should be a multiple of 10 up to 50000, got 15"),
        ({"val_images": 20_000}, "val_images should be a multiple of 10 up to 10000, got 20000"),
        ({"test_images": 0}, "test_images should be"),
        ({"gallery_images": 90}, "gallery_images should be at least 100, got 90"),
        ({"framework": "moca"}, "framework should be 'simclr' or 'moco', got 'moca'"),
        ({"framework": "moco", "batch": 128, "queue": 127}, "at least one batch of 128 keys, got 127"),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_loaded(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ImageClassification(**settings)


@pytest.mark.parametrize("imbalance", [0.5, 21.0])
def test_an_imbalance_that_leaves_a_class_empty_or_is_none_is_refused(imbalance: float) -> None:
    with pytest.raises(ValueError, match=f"imbalance should be from 1 to 20, the largest class, got {imbalance:g}"):
        LongTailedImageClassification(**vars(TINY), imbalance=imbalance)


def test_simclr_asks_nothing_of_the_queue() -> None:
    assert ImageClassification(batch=512, queue=1).framework == "simclr"


def test_rate_rises_and_falls_to_zero(locate: Locate) -> None:
    rate = TINY.task(context(locate)).rate
    factors = [rate(step / 100) for step in range(100)]
    assert 0 < factors[0] < 0.2
    assert max(factors) == factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[99] < 1e-3


# --- real data


@pytest.mark.data
def test_fashion_mnist_is_split_as_documented() -> None:
    from suite.data import locate as real

    task = ImageClassification(gallery_images=50_000, val_images=10_000).task(context(real))
    assert len(task.images) == len(task.gallery) == 50_000
    assert torch.bincount(task.validation.labels).tolist() == [1000] * 10


@pytest.mark.data
@pytest.mark.parametrize("framework", ["simclr", "moco"])
def test_a_short_training_beats_the_untrained_encoder_on_fashion_mnist(framework: Literal["simclr", "moco"]) -> None:
    from suite.data import locate as real

    smoke = ImageClassification(
        framework=framework,
        train_images=4_000,
        gallery_images=500,
        val_images=500,
        test_images=500,
        epochs=1,
        batch=100,
        queue=1000,
        momentum=0.9,
    )
    task = smoke.task(context(real))
    untrained = task.evaluate("val")
    train(task, InfoNCE(0.2), Streams(0))
    assert task.evaluate("val")["knn_accuracy"] > untrained["knn_accuracy"] + 0.02
