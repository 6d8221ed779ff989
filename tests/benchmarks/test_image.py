"""The image benchmark as a whole, on small synthetic idx files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from suite.benchmarks.image import ImageClassification
from suite.losses import DySTreSS, InfoNCE, Loss, TemperatureFree
from suite.steps import Step
from suite.streams import Streams
from suite.training import Checkpoint, Interrupted, Metrics, Task, evaluate, train
from tests.benchmarks.images_factory import TINY, Locate, context, write_images

MOCO = replace(TINY, framework="moco", queue=120)


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_images(tmp_path_factory.mktemp("fashion_mnist"))


def trained(locate: Locate, loss: Loss | None, benchmark: ImageClassification = TINY, seed: int = 0) -> Task:
    task = benchmark.task(context(locate, seed))
    train(task, loss, Streams(seed))
    return task


@pytest.mark.parametrize("benchmark", [TINY, MOCO], ids=["simclr", "moco"])
def test_test_images_are_touched_only_by_the_test_split(locate: Locate, benchmark: ImageClassification) -> None:
    def guarded(dataset: str, member: str) -> Path:
        assert not member.startswith("t10k"), "test images touched"
        return locate(dataset, member)

    task = trained(guarded, InfoNCE(0.5), benchmark)
    assert task.evaluate("val")
    with pytest.raises(AssertionError, match="test images touched"):
        task.evaluate("test")


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


def test_losses_share_weights_order_and_views(locate: Locate) -> None:
    def first_batch() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        task = TINY.task(context(locate))
        pairs = task.objective(Step(0, 0, 0)).pairs
        assert pairs is not None
        return task.model.state_dict(), pairs.similarity, pairs.index

    weights, similarity, index = first_batch()
    TINY.task(context(locate, 1)).objective(Step(0, 0, 0))
    torch.rand(3)
    weights_again, similarity_again, index_again = first_batch()
    assert all(torch.equal(weights[name], weights_again[name]) for name in weights)
    assert torch.equal(similarity, similarity_again)
    assert torch.equal(index, index_again)


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


@pytest.mark.parametrize("loss", [lambda: InfoNCE(0.2), TemperatureFree, DySTreSS], ids=["infonce", "free", "dystress"])
def test_same_seed_gives_the_same_bits(locate: Locate, loss: Callable[[], Loss]) -> None:
    metrics = evaluate(trained(locate, loss()))
    torch.rand(7)
    assert evaluate(trained(locate, loss())) == metrics
    assert set(metrics) == {
        f"{split}/{name}_accuracy" for split in ("val", "test") for name in ("knn", "linear", "few_label")
    }
    assert all(0 <= value <= 1 for value in metrics.values())


@pytest.mark.parametrize("kind", ["simclr", "moco", "supervised"])
@pytest.mark.parametrize("interruption", [1, 4, 7])
def test_a_resumed_run_ends_in_the_same_bits(locate: Locate, tmp_path: Path, interruption: int, kind: str) -> None:
    def build() -> tuple[Task, Loss | None]:
        if kind == "supervised":
            reference = TINY.task(context(locate)).reference("supervised")
            assert isinstance(reference, Task)
            return reference, None
        return (MOCO if kind == "moco" else TINY).task(context(locate)), InfoNCE(0.2)

    undisturbed, loss = build()
    train(undisturbed, loss, Streams(0))

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", due=lambda: False, save=save)
    done: list[int] = []
    task, loss = build()
    with pytest.raises(Interrupted):
        train(
            task,
            loss,
            Streams(0),
            report=lambda step, metrics: done.append(step.index),
            checkpoint=checkpoint,
            stop=lambda: len(done) == interruption,
        )
    task, loss = build()
    train(task, loss, Streams(0), checkpoint=checkpoint)
    for name, weight in undisturbed.model.state_dict().items():
        assert torch.equal(task.model.state_dict()[name], weight), name
    assert evaluate(task) == evaluate(undisturbed)


def save(path: Path, state: object) -> None:
    torch.save(state, path)


@pytest.mark.parametrize("benchmark", [TINY, MOCO], ids=["simclr", "moco"])
def test_evaluation_leaves_no_trace_in_training(locate: Locate, benchmark: ImageClassification) -> None:
    task = benchmark.task(context(locate))
    task.model.train()
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    first = task.evaluate("val")
    assert task.model.training
    assert all(torch.equal(value, before[name]) for name, value in task.model.state_dict().items())
    assert task.evaluate("val") == first


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


# --- references


def reference(locate: Locate, name: str) -> Metrics:
    metrics = TINY.task(context(locate)).reference(name)
    assert not isinstance(metrics, Task)
    return metrics


def test_references_give_the_metrics_of_a_run(locate: Locate) -> None:
    names = set(evaluate(TINY.task(context(locate))))
    for name in ("chance", "raw", "untrained"):
        assert set(reference(locate, name)) == names
    assert set(reference(locate, "chance").values()) == {0.1}


def test_the_untrained_reference_is_the_encoder_that_training_starts_from(locate: Locate) -> None:
    assert reference(locate, "untrained") == evaluate(TINY.task(context(locate)))


def test_raw_does_not_depend_on_the_seed_or_the_encoder(locate: Locate) -> None:
    other = replace(TINY, width=2).task(context(locate, 5)).reference("raw")
    assert other == reference(locate, "raw")


def test_supervised_starts_from_the_same_encoder_and_learns_the_classes(locate: Locate) -> None:
    task = replace(TINY, epochs=8).task(context(locate))
    supervised = task.reference("supervised")
    assert isinstance(supervised, Task)
    own = supervised.model.state_dict()
    shared = {name: weight for name, weight in task.model.state_dict().items() if name.startswith("encoder.")}
    assert shared
    assert all(torch.equal(weight, own[name]) for name, weight in shared.items())
    before = supervised.evaluate("val")
    objective = supervised.objective(Step(0, 0, 0))
    assert objective.pairs is None
    train(supervised, None, Streams(0))
    after = supervised.evaluate("val")
    assert after["few_label_accuracy"] > before["few_label_accuracy"]
    assert after["knn_accuracy"] > 0.5


def test_unknown_reference_is_refused(locate: Locate) -> None:
    with pytest.raises(ValueError, match="no reference 'popularity'"):
        TINY.task(context(locate)).reference("popularity")


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
