"""The parts of the image benchmark: idx files, splits, augmentation, encoder, evaluation."""

import math
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.image import data
from suite.benchmarks.image.augment import Augmentation
from suite.benchmarks.image.encoder import Encoder, Model, projection_head
from suite.benchmarks.image.evaluate import FeatureEvaluation, LinearProbe, accuracy, few_labels, knn
from suite.training.streams import Streams


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=generator(seed))


# --- idx files and splits


def test_idx_is_read_in_the_shape_of_its_header(tmp_path: Path) -> None:
    path = tmp_path / "idx"
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 255]))
    assert data.read_idx(path).tolist() == [[[10, 20, 30]], [[40, 50, 255]]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not an idx file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x00", "not an idx file"),
        (b"\x1f\x8b\x08\x00", "not an idx file"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), "10 bytes long"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]), "10 bytes long"),
    ],
)
def test_a_malformed_idx_file_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "idx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        data.read_idx(path)


def test_split_is_disjoint_complete_and_stratified() -> None:
    labels = torch.randint(10, (6_000,), generator=generator())
    training, validation = data.split(labels)
    assert torch.equal(torch.cat([training, validation]).sort().values, torch.arange(6_000))
    for label, count in enumerate(torch.bincount(labels).tolist()):
        assert int((labels[training] == label).sum()) == int(count * 5 / 6)


def test_split_takes_the_last_of_each_class_for_validation() -> None:
    labels = torch.arange(10).repeat(6)
    training, validation = data.split(labels)
    assert training.tolist() == list(range(50))
    assert validation.tolist() == list(range(50, 60))


def test_balanced_takes_the_first_of_each_class() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
    assert data.balanced(labels, 10).tolist() == [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("size", [15, 20])
def test_balanced_refuses_what_cannot_be_balanced(size: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 10 up to 10 expected, got {size}"):
        data.balanced(torch.arange(10), size)


def test_a_long_tail_is_that_of_cifar_lt() -> None:
    labels = torch.randint(10, (60_000,), generator=generator())
    some = data.long_tailed(labels, 50_000, imbalance=100)
    assert torch.bincount(labels[some]).tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    for label in range(10):
        of_class = (labels == label).nonzero().squeeze(1)
        chosen = some[labels[some] == label]
        assert torch.equal(chosen, of_class[: len(chosen)])
    assert torch.equal(some, some.sort().values)


def test_without_imbalance_the_tail_is_balanced() -> None:
    labels = torch.randint(10, (600,), generator=generator())
    assert torch.equal(data.long_tailed(labels, 400, imbalance=1.0), data.balanced(labels, 400))


# --- augmentation


STRONG = Augmentation(crop=0.3, aspect=1.5, flip=0.5, jitter=0.9)


def test_augmentation_of_no_strength_is_the_identity() -> None:
    images = pictures(8)
    torch.testing.assert_close(Augmentation()(images, generator()), images, atol=1e-5, rtol=0)


def test_certain_flip_alone_is_the_mirror_image() -> None:
    images = pictures(8)
    torch.testing.assert_close(Augmentation(flip=1.0)(images, generator()), images.flip(3), atol=1e-5, rtol=0)


def test_half_the_images_are_flipped() -> None:
    images = pictures(1).expand(2000, -1, -1, -1)
    views = Augmentation(flip=0.5)(images, generator())
    flipped = (views - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert 900 < int(flipped.sum()) < 1100


def test_views_are_determined_by_the_generator() -> None:
    images = pictures(16)
    assert torch.equal(STRONG(images, generator(1)), STRONG(images, generator(1)))
    assert not torch.equal(STRONG(images, generator(1)), STRONG(images, generator(2)))


def test_augmentation_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    STRONG(pictures(4), generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_views_stay_in_range_and_finite() -> None:
    views = STRONG(pictures(256), generator())
    assert torch.isfinite(views).all()
    assert float(views.min()) >= 0.0
    assert float(views.max()) <= 1.0


def test_a_view_does_not_depend_on_the_other_images() -> None:
    images, others = pictures(16), pictures(16, seed=1)
    mixed = others.clone()
    mixed[5] = images[5]
    assert torch.equal(STRONG(mixed, generator())[5], STRONG(images, generator())[5])


def test_the_draws_differ_between_the_images_of_a_batch() -> None:
    views = STRONG(pictures(1).expand(32, -1, -1, -1), generator())
    distance = torch.cdist(views.flatten(1), views.flatten(1)) + 1e9 * torch.eye(32)
    assert float(distance.min()) > 1e-2


def test_a_crop_keeps_at_least_its_share_of_the_area() -> None:
    # Each pixel holds its own column, so a crop's width is the slope along a row.
    columns = ((torch.arange(28) + 0.5) / 28).expand(500, 1, 28, 28).contiguous()
    views = Augmentation(crop=0.25)(columns, generator())
    width = (views[:, 0, 14, 18] - views[:, 0, 14, 10]) * 28 / 8
    assert 0.5 - 1e-3 <= float(width.min()) < 0.55
    assert 0.95 < float(width.max()) <= 1 + 1e-3


def test_jitter_multiplies_a_flat_image_by_a_factor_in_its_range() -> None:
    views = Augmentation(jitter=0.4)(torch.full((500, 1, 28, 28), 0.5), generator())
    factor = views[:, 0, 0, 0] / 0.5
    torch.testing.assert_close(views, (0.5 * factor).reshape(-1, 1, 1, 1).expand_as(views))
    assert 0.6 - 1e-5 <= float(factor.min()) < 0.65
    assert 1.35 < float(factor.max()) <= 1.4 + 1e-5


# --- encoder


def test_encoder_and_head_have_the_shapes_they_state() -> None:
    encoder = Encoder(width=8)
    model = Model(encoder, projection_head(encoder.features, hidden=12, outputs=6))
    assert encoder(pictures(3)).shape == (3, encoder.features) == (3, 256)
    assert model(pictures(3)).shape == (3, 6)


def test_every_pixel_reaches_the_features() -> None:
    with Streams(0).seeded("weights"):
        encoder = Encoder(width=8).eval()
    images = pictures(16).requires_grad_()
    encoder(images).sum().backward()
    assert images.grad is not None
    assert bool((images.grad != 0).any(dim=0).all())


# --- evaluation


def plain_knn(gallery: Tensor, labels: Tensor, queries: Tensor, neighbours: int, temperature: float) -> list[int]:
    predicted = []
    for query in queries.double():
        cosines = []
        for row in gallery.double():
            cosines.append(float(query @ row / (query.norm() * row.norm())))
        nearest = sorted(range(len(cosines)), key=lambda item: -cosines[item])[:neighbours]
        votes: dict[int, float] = {}
        for item in nearest:
            label = int(labels[item])
            votes[label] = votes.get(label, 0.0) + math.exp(cosines[item] / temperature)
        predicted.append(max(votes, key=lambda label: votes[label]))
    return predicted


@pytest.mark.parametrize("temperature", [0.02, 0.1, 5.0])
def test_knn_equals_plain_loops(temperature: float) -> None:
    gallery = torch.randn(90, 6, generator=generator(1))
    queries = torch.randn(40, 6, generator=generator(2))
    labels = torch.randint(4, (90,), generator=generator(3))
    predicted = knn(gallery, labels, queries, [1, 7, 30], classes=4, temperature=temperature)
    for neighbours, prediction in zip([1, 7, 30], predicted, strict=True):
        assert prediction.tolist() == plain_knn(gallery, labels, queries, neighbours, temperature)


def test_knn_does_not_depend_on_how_queries_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, queries = torch.randn(50, 6, generator=generator(1)), torch.randn(23, 6, generator=generator(2))
    labels = torch.randint(4, (50,), generator=generator(3))
    whole = knn(gallery, labels, queries, [5], classes=4)
    monkeypatch.setattr("suite.benchmarks.image.evaluate.QUERIES_AT_ONCE", 4)
    assert torch.equal(knn(gallery, labels, queries, [5], classes=4)[0], whole[0])


def test_knn_ignores_the_length_of_features() -> None:
    gallery, queries = torch.randn(50, 6, generator=generator(1)), torch.randn(20, 6, generator=generator(2))
    labels = torch.randint(4, (50,), generator=generator(3))
    stretched = gallery * torch.rand(50, 1, generator=generator(4)).add(0.1)
    assert torch.equal(knn(gallery, labels, queries, [5], 4)[0], knn(stretched, labels, 7 * queries, [5], 4)[0])


def noisy_blobs(per_class: int, classes: int, features: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    centres = 3 * torch.randn(classes, features, generator=generator(99))
    labels = torch.arange(classes).repeat(per_class)
    return centres[labels] + spread * torch.randn(len(labels), features, generator=generator(seed)), labels


@pytest.mark.parametrize(("per_class", "features"), [(40, 6), (4, 30)], ids=["many samples", "many features"])
def test_probe_finds_the_minimum_that_sklearn_finds(per_class: int, features: int) -> None:
    inputs, labels = noisy_blobs(per_class, 5, features, spread=4.0, seed=1)
    probe = LinearProbe(inputs.unsqueeze(0).double(), labels.unsqueeze(0), classes=5, penalty=0.03, iterations=500)
    standardised = (inputs.double() - inputs.double().mean(0)) / inputs.double().std(0, unbiased=False)
    theirs = LogisticRegression(C=1 / (0.03 * len(labels)), tol=1e-9, max_iter=10_000).fit(standardised, labels)

    def value(weight: Tensor, bias: Tensor) -> float:
        fit = functional.cross_entropy(standardised @ weight.T + bias, labels)
        return float(fit + 0.03 / 2 * weight.square().sum())

    minimum = value(torch.tensor(theirs.coef_), torch.tensor(theirs.intercept_))
    assert value(probe.weight[0], probe.bias[0, :, 0]) == pytest.approx(minimum, rel=1e-5)
    torch.testing.assert_close(probe.weight[0], torch.tensor(theirs.coef_), atol=3e-3, rtol=0)
    assert probe.predict(inputs.double())[0].tolist() == theirs.predict(standardised).tolist()


def test_probes_side_by_side_are_those_one_by_one() -> None:
    problems = [noisy_blobs(10, 3, 8, spread=3.0, seed=seed) for seed in (1, 2)]
    features, labels = (torch.stack(parts) for parts in zip(*problems, strict=True))
    queries, _ = noisy_blobs(50, 3, 8, spread=3.0, seed=3)
    together = LinearProbe(features.double(), labels, 3, iterations=500).predict(queries.double())
    for one, (inputs, targets) in enumerate(problems):
        alone = LinearProbe(inputs.double()[None], targets[None], 3, iterations=500).predict(queries.double())
        assert torch.equal(together[one], alone[0])


def test_probe_separates_what_is_separable() -> None:
    features, labels = noisy_blobs(20, 5, 8, spread=0.1, seed=1)
    queries, truth = noisy_blobs(20, 5, 8, spread=0.1, seed=2)
    assert accuracy(LinearProbe(features[None], labels[None], 5).predict(queries), truth) == 1.0


def test_probe_ignores_a_feature_that_is_constant_in_the_gallery() -> None:
    features, labels = noisy_blobs(20, 5, 8, spread=0.1, seed=1)
    padded = torch.cat([features, torch.full((100, 1), 0.1)], dim=1)
    shifted = torch.cat([features, torch.full((100, 1), 5.0)], dim=1)
    assert accuracy(LinearProbe(padded[None], labels[None], 5).predict(shifted), labels) == 1.0


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_constant_features_are_at_chance(value: float) -> None:
    labels = torch.arange(10).repeat(20)
    metrics = FeatureEvaluation(torch.full((200, 16), value), labels, 10)(torch.full((200, 16), value), labels)
    assert metrics == {"knn_accuracy": 0.1, "linear_accuracy": 0.1, "few_label_accuracy": pytest.approx(0.1)}


def test_perfect_features_score_one_and_all_names_are_there() -> None:
    labels = torch.arange(10).repeat(400)
    features = functional.one_hot(labels, 10).float()
    metrics = FeatureEvaluation(features, labels, 10)(features, labels)
    assert metrics == dict.fromkeys(("knn_accuracy", "knn200_accuracy", "linear_accuracy", "few_label_accuracy"), 1.0)
    assert tuple(metrics) == FeatureEvaluation.names(len(labels))


def test_few_label_probes_see_ten_disjoint_examples_of_each_class() -> None:
    labels = torch.arange(10).repeat(35)
    sets = few_labels(labels, 10)
    assert sets.shape == (3, 100)
    assert len(sets.unique()) == 300
    for one in sets:
        assert torch.bincount(labels[one]).tolist() == [10] * 10


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 labelled images a class"):
        FeatureEvaluation(torch.zeros(90, 2), torch.arange(10).repeat(9), 10)
    with pytest.raises(ValueError, match="needed, got 9 of class 1, 0 of class 2"):
        FeatureEvaluation(torch.zeros(100, 2), torch.tensor([0] * 91 + [1] * 9), 3)
    with pytest.raises(ValueError, match="labels from 0 to 1 expected, got 2"):
        FeatureEvaluation(torch.zeros(60, 2), torch.arange(3).repeat(20), 2)


def test_few_label_sets_of_unbalanced_labels_hold_ten_of_each_class_all_the_same() -> None:
    labels = torch.tensor([0] * 25 + [2] * 60 + [1] * 31)
    sets = few_labels(labels, 3)
    assert sets.shape == (2, 30)
    assert len(sets.unique()) == 60
    for one in sets:
        assert torch.bincount(labels[one]).tolist() == [10] * 3
