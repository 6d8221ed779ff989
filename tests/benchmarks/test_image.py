"""The image benchmark as a whole, on small synthetic idx files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from suite.benchmarks.image import ImageClassification
from suite.losses import DySTreSS, InfoNCE, Loss, TemperatureFree
from suite.streams import Streams
from suite.training import Checkpoint, Context, Interrupted, Metrics, Step, Task, evaluate, train

TINY = ImageClassification(
    train_images=200, gallery_images=100, val_images=100, test_images=100, batch=50, epochs=2, width=4, hidden=16
)
Locate = Callable[[str, str], Path]


def write_idx(path: Path, content: np.ndarray) -> None:
    header = bytes([0, 0, 8, content.ndim]) + b"".join(size.to_bytes(4, "big") for size in content.shape)
    path.write_bytes(header + content.astype(np.uint8).tobytes())


def write_part(folder: Path, part: str, count: int, seed: int) -> None:
    """Ten classes: a bright square at one of ten places, moved by a pixel or two, of any brightness, in noise."""
    draws = np.random.default_rng(seed)
    labels = draws.permutation(np.arange(count) % 10)
    images = draws.integers(0, 40, (count, 28, 28))
    for image, label in zip(images, labels, strict=True):
        top, left = np.array([14 * (label // 5) + 3, 5 * (label % 5) + 1]) + draws.integers(-1, 2, 2)
        image[top : top + 5, left : left + 4] += draws.integers(60, 200)
    write_idx(folder / f"{part}-images-idx3-ubyte", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte", labels)


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    folder = tmp_path_factory.mktemp("fashion_mnist")
    write_part(folder, "train", 600, seed=1)
    write_part(folder, "t10k", 120, seed=2)

    def path(dataset: str, member: str) -> Path:
        assert dataset == "fashion_mnist"
        return folder / member

    return path


def context(locate: Locate, seed: int = 0) -> Context:
    return Context(Streams(seed), torch.device("cpu"), locate)


def trained(locate: Locate, loss: Loss | None, benchmark: ImageClassification = TINY, seed: int = 0) -> Task:
    task = benchmark.task(context(locate, seed))
    train(task, loss, Streams(seed))
    return task


def test_test_images_are_touched_only_by_the_test_split(locate: Locate) -> None:
    def guarded(dataset: str, member: str) -> Path:
        assert not member.startswith("t10k"), "test images touched"
        return locate(dataset, member)

    task = trained(guarded, InfoNCE(0.5))
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


@pytest.mark.parametrize("kind", ["contrastive", "supervised"])
@pytest.mark.parametrize("interruption", [1, 4, 7])
def test_a_resumed_run_ends_in_the_same_bits(locate: Locate, tmp_path: Path, interruption: int, kind: str) -> None:
    def build() -> tuple[Task, Loss | None]:
        task = TINY.task(context(locate))
        if kind == "contrastive":
            return task, InfoNCE(0.2)
        reference = task.reference("supervised")
        assert isinstance(reference, Task)
        return reference, None

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


def test_evaluation_leaves_no_trace_in_training(locate: Locate) -> None:
    task = TINY.task(context(locate))
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
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_loaded(settings: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ImageClassification(**settings)  # type: ignore[arg-type]


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
def test_a_short_training_beats_the_untrained_encoder_on_fashion_mnist() -> None:
    from suite.data import locate as real

    smoke = ImageClassification(
        train_images=4_000, gallery_images=500, val_images=500, test_images=500, epochs=1, batch=100
    )
    task = smoke.task(context(real))
    untrained = task.evaluate("val")
    train(task, InfoNCE(0.2), Streams(0))
    assert task.evaluate("val")["knn_accuracy"] > untrained["knn_accuracy"] + 0.02
