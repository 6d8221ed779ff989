"""The cosines that are logged of a step's pairs, whichever way they are summed."""

from __future__ import annotations

import pytest
import torch

from suite.pairs import cross_view, two_view
from suite.training.similarities import similarities


@pytest.mark.parametrize("rows", [3, 40, 2**20])
def test_means_of_two_views_are_those_of_every_pair(rows: int) -> None:
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(30, 5, generator=draw) + 1.0
    second = first + torch.randn(30, 5, generator=draw)
    pairs = two_view(first, second).in_blocks(rows)
    cosine = torch.nn.functional.normalize(torch.cat([first, second]), dim=1).double()
    cosine = cosine @ cosine.T
    positives = [(i, (i + 30) % 60) for i in range(60)]
    negatives = [(i, j) for i in range(60) for j in range(60) if i != j and (i, j) not in positives]
    expected = [torch.stack([cosine[place] for place in places]).mean().item() for places in (positives, negatives)]
    found = similarities(pairs)
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)
    assert list(found) == ["train/similarity_positive", "train/similarity_negative"]


def test_means_of_queries_and_keys_are_those_of_every_pair() -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.randn(12, 5, generator=draw) for _ in range(2))
    cosine = torch.nn.functional.cosine_similarity(first[:, None], second, dim=2)
    own = torch.eye(12, dtype=torch.bool)
    expected = [cosine[own].mean().item(), cosine[~own].mean().item()]
    for rows in (5, 2**20):
        found = similarities(cross_view(first, second).in_blocks(rows))
        assert list(found.values()) == pytest.approx(expected, abs=1e-6)
