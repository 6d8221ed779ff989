"""The parts of the anomaly benchmark: scores, metrics, images, settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from suite.benchmarks.anomaly import AnomalyDetection, data
from suite.benchmarks.anomaly.data import first_of_class
from suite.benchmarks.anomaly.evaluate import detection, distance_to_nearest, spherical_distance_to_nearest
from suite.benchmarks.image.colour.data import HeldImages
from tests.benchmarks.anomaly_factory import write_part
from tests.benchmarks.images_factory import write_idx


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- scores


@pytest.mark.parametrize("neighbours", [1, 2, 5])
def test_the_score_sums_the_squared_distances_to_the_nearest_of_the_gallery(neighbours: int) -> None:
    gallery, queries = draws(40, 6), draws(2100, 6, seed=1)
    nearest = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(gallery.double().numpy())
    distances, _ = nearest.kneighbors(queries.double().numpy())
    expected = torch.from_numpy((distances**2).sum(axis=1))
    assert torch.allclose(distance_to_nearest(gallery, queries, neighbours).double(), expected, rtol=1e-4, atol=1e-4)


def test_on_the_sphere_lengths_do_not_matter() -> None:
    gallery, queries = draws(40, 6), draws(30, 6, seed=1)
    stretched = queries * torch.linspace(0.1, 9.0, 30).unsqueeze(1)
    scores = spherical_distance_to_nearest(gallery, queries)
    assert torch.allclose(spherical_distance_to_nearest(3 * gallery, stretched), scores, atol=1e-5)
    units = [torch.nn.functional.normalize(rows, dim=1) for rows in (gallery, queries)]
    assert torch.allclose(scores, distance_to_nearest(*units))
    assert not torch.allclose(scores, distance_to_nearest(gallery, queries), atol=0.1)


def test_collapsed_features_are_scored_as_in_float64() -> None:
    common = draws(1, 64) / draws(1, 64).norm()
    gallery, normal, odd = (common + size * draws(200, 64, seed=seed) for seed, size in enumerate((4e-5, 4e-5, 5e-5)))
    queries = torch.cat([normal, odd])
    assert (torch.nn.functional.normalize(queries.double(), dim=1) @ common[0].double()).mean() > 1 - 1e-6
    distances = torch.cdist(*(torch.nn.functional.normalize(z.double(), dim=1) for z in (queries, gallery)))
    expected = distances.square().topk(2, largest=False).values.sum(dim=1)
    torch.testing.assert_close(spherical_distance_to_nearest(gallery, queries), expected, rtol=1e-6, atol=0)


def test_a_normal_training_image_is_least_anomalous_where_the_gallery_holds_it_twice() -> None:
    gallery = draws(40, 6)
    scores = distance_to_nearest(gallery.repeat(2, 1), torch.cat([gallery[:3], draws(20, 6, seed=1)]))
    assert torch.allclose(scores[:3], torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert scores[3:].min() > 1e-3


# --- metrics


def test_metrics_are_those_of_scikit_learn_with_anomalies_as_positives() -> None:
    anomalous = draws(200) > 0.5
    scores = draws(200, seed=1) + anomalous
    metrics = detection(scores, anomalous)
    assert metrics == {
        "roc_auc": roc_auc_score(anomalous.int(), scores),
        "average_precision": average_precision_score(anomalous.int(), scores),
    }
    pairs = scores[anomalous].unsqueeze(1) - scores[~anomalous]
    assert metrics["roc_auc"] == pytest.approx(float((pairs > 0).double().mean()))
    assert metrics["average_precision"] > float(anomalous.double().mean())


def test_equal_scores_are_at_chance() -> None:
    anomalous = torch.arange(10) < 4
    assert detection(torch.ones(10), anomalous) == {"roc_auc": 0.5, "average_precision": pytest.approx(0.4)}


# --- data


def test_the_first_images_of_a_class_in_file_order() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0, 1])
    assert first_of_class(labels, 1, 3).tolist() == [0, 2, 3]
    with pytest.raises(ValueError, match="3 images of class 0 expected, got 2"):
        first_of_class(labels, 0, 3)


def test_the_last_images_of_each_class_in_file_order() -> None:
    labels = torch.tensor([*range(10), *range(9, -1, -1), *range(10)])
    assert data.last_of_each_class(labels, 10).tolist() == list(range(20, 30))
    assert data.last_of_each_class(labels, 20).tolist() == list(range(10, 30))
    with pytest.raises(ValueError, match="4 images of class 0 expected, got 3"):
        data.last_of_each_class(labels, 40)


def test_grey_images_have_their_one_colour_thrice(tmp_path: Path) -> None:
    write_part(tmp_path, "t10k", 20, seed=2)
    images = data.load("kmnist", "test", lambda dataset, member: tmp_path / member)
    assert images.pixels.shape == (20, 3, 28, 28)
    assert torch.equal(images.pixels[:, 0], images.pixels[:, 2])


def test_labels_that_do_not_fit_the_images_are_refused(tmp_path: Path) -> None:
    write_part(tmp_path, "t10k", 20, seed=2)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(19))
    with pytest.raises(ValueError, match=r"holds 20 images, .* 19 labels"):
        data.load("mnist", "test", lambda dataset, member: tmp_path / member)


def test_the_published_view_of_a_test_image_is_its_centre_resized() -> None:
    """To 256 pixels and the middle 224 of these, by Pillow as torchvision has it: the middle 7/8, resized."""
    pixels = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pillow = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).resize((256, 256), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(pillow)).permute(2, 0, 1)[:, 16:240, 16:240].float()
    images = HeldImages(pixels, torch.zeros(1, dtype=torch.int64))
    found = images.plain(torch.tensor([0]), 0.875, 224, torch.device("cpu"))[0] * 255
    inner = (slice(None), slice(8, -8), slice(8, -8))  # at the edge of the middle Pillow sees beyond it
    assert float((found[inner] - expected[inner]).abs().max()) < 1.01  # Pillow rounds to whole levels, twice


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ()}, r"classes should be different ones of 0 to 9, got \[\]"),
        ({"classes": (1, 1)}, r"classes should be different ones of 0 to 9, got \[1, 1\]"),
        ({"classes": (10,)}, r"classes should be different ones of 0 to 9, got \[10\]"),
        ({"encoder": "vgg"}, "encoder should be one of efficientnet_lite0, resnet18, resnet152, got 'vgg'"),
        (
            {"dataset": "svhn"},
            r"dataset should be one of fashion_mnist, kmnist, mnist, cifar10, .*, got 'svhn'",
        ),
        ({"size": 40}, "size should be a multiple of 32 for efficientnet_lite0, got 40"),
        ({"blurred": 0.5, "kernel": 24}, "kernel should be odd, its half less than 32 pixels, got 24"),
        ({"views": 1}, r"views should be 0 \(new ones at every step\) or at least 2, got 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnomalyDetection(**settings)
