"""Geometry of features against loops, and at its known extremes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.training.geometry import alignment, effective_rank, tolerance, uniformity


@pytest.fixture
def features() -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def unit(features: Tensor) -> np.ndarray:
    rows = features.numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_alignment_is_the_mean_squared_distance_of_unit_rows(features: Tensor) -> None:
    first, second = features[:4], features[4:8]
    expected = np.mean([sum((a - b) ** 2) for a, b in zip(unit(first), unit(second), strict=True)])
    assert alignment(3 * first, second) == pytest.approx(expected, rel=1e-12)
    assert alignment(first, -first) == pytest.approx(4.0)
    assert alignment(first, 5 * first) == pytest.approx(0.0, abs=1e-12)


def test_uniformity_is_the_log_mean_potential_of_all_pairs(features: Tensor) -> None:
    potential = [math.exp(-2 * sum((a - b) ** 2)) for a, b in itertools.combinations(unit(features), 2)]
    assert uniformity(features) == pytest.approx(math.log(np.mean(potential)), rel=1e-12)
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0.0, abs=1e-6)


def test_tolerance_is_the_mean_cosine_within_labels(features: Tensor) -> None:
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 1, 1])
    rows = unit(features)
    cosines = [rows[i] @ rows[j] for i, j in itertools.combinations(range(9), 2) if labels[i] == labels[j]]
    assert tolerance(features, labels) == pytest.approx(np.mean(cosines), rel=1e-12)


def test_effective_rank_counts_equal_directions() -> None:
    axes = torch.eye(6)[:3].repeat(4, 1)
    assert effective_rank(axes) == pytest.approx(3.0)
    assert effective_rank(torch.ones(7, 4)) == pytest.approx(1.0, abs=1e-6)
    assert effective_rank(torch.zeros(7, 4)) == pytest.approx(1.0)


def test_effective_rank_is_the_exponential_of_the_entropy(features: Tensor) -> None:
    values = np.linalg.svd(unit(features), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(features) == pytest.approx(math.exp(-sum(shares * np.log(shares))), rel=1e-12)
