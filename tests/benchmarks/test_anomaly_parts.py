"""The parts of the anomaly benchmark: scores, metrics, filters, encoder."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from suite.benchmarks.anomaly.data import first_of_class
from suite.benchmarks.anomaly.encoder import Encoder
from suite.benchmarks.anomaly.evaluate import detection, distance_to_nearest, spherical_distance_to_nearest
from suite.benchmarks.anomaly.pretraining import random_filters, whitened_components


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


# --- filters


def patches(images: torch.Tensor, size: int) -> torch.Tensor:
    """Cut every third patch out of images in [0, 1], one after another: [patches, size ** 2]."""
    places = range(0, 28 - size + 1, 3)
    cut = [image[0, y : y + size, x : x + size] for image in images for y in places for x in places]
    return torch.stack(cut).flatten(1).double()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    smooth = torch.nn.functional.interpolate(draws(60, 1, 7, 7).abs(), size=(28, 28), mode="bilinear")
    return (80 * smooth).clamp(0, 255).to(torch.uint8)


def test_responses_to_the_patches_are_uncorrelated_and_of_falling_variance(images: torch.Tensor) -> None:
    filters = whitened_components(images, 8, 5).flatten(1).double()
    covariance = torch.cov((patches(images / 255, 5) @ filters.T).T)
    spread = covariance.diagonal().sqrt()
    assert bool((spread.diff() < 0).all())
    assert torch.allclose(covariance / spread.outer(spread), torch.eye(8, dtype=torch.float64), atol=0.05)
    assert torch.allclose(filters.sum(dim=1), torch.zeros(8, dtype=torch.float64), atol=1e-5)


def test_whitening_brings_variances_together(images: torch.Tensor) -> None:
    filters = whitened_components(images, 8, 5).flatten(1).double()
    directions = torch.nn.functional.normalize(filters, dim=1)
    cut = patches(images / 255, 5)
    before, after = ((cut @ axes.T).std(dim=0) for axes in (directions, filters))
    assert before[0] / before[-1] > 1.5 * after[0] / after[-1]


def test_random_filters_do_not_answer_to_an_even_area_and_are_of_unit_length() -> None:
    filters = random_filters(6, 5, torch.Generator().manual_seed(0))
    assert filters.shape == (6, 1, 5, 5)
    assert torch.allclose(filters.sum(dim=(2, 3)), torch.zeros(6, 1), atol=1e-6)
    assert torch.allclose(filters.square().sum(dim=(1, 2, 3)), torch.ones(6))


# --- encoder


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(random_filters(4, 5, torch.Generator().manual_seed(0)))


def test_an_encoder_begins_as_its_filters_make_it(encoder: Encoder) -> None:
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    features = encoder(image).reshape(8, 7, 7)
    padded = torch.nn.functional.pad(image[0, 0], (2, 2, 2, 2))
    filters = encoder.filters[:, 0]
    expected = torch.zeros(8)
    for y, x in ((4, 6), (4, 7), (5, 6), (5, 7)):  # the four places under row 2, column 3 of the features
        responses = (filters * padded[2 * y : 2 * y + 5, 2 * x : 2 * x + 5]).sum(dim=(1, 2))
        responses = responses / (responses.square().sum() + 0.03).sqrt()
        expected += torch.cat([responses.clamp(min=0), (-responses).clamp(min=0)]) / 4
    assert torch.allclose(features[:, 2, 3], expected, atol=1e-6)


def test_a_blank_image_has_no_features_and_contrast_hardly_matters(encoder: Encoder) -> None:
    assert float(encoder(torch.zeros(1, 1, 28, 28)).detach().abs().max()) == 0.0
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    bright, dim = (torch.nn.functional.normalize(encoder(factor * image), dim=1) for factor in (1.0, 0.5))
    pixels = torch.nn.functional.normalize(torch.cat([image, 0.5 * image]).flatten(1), dim=1)
    assert float((bright * dim).detach().sum()) > 0.99
    assert float(pixels[0] @ pixels[1]) == pytest.approx(1.0)


def test_the_residual_layer_learns_although_it_starts_at_zero(encoder: Encoder) -> None:
    encoder(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) > 0, name
