"""The cosines of a step's pairs, as they are logged."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from suite.pairs.pairs import EmbeddedPairs, Pairs
from suite.training.evaluated import Metrics

Histograms = Mapping[str, list[float]]
"""Shares of values by name, over as many equally wide bins of [-1, 1] as there are shares."""

HISTOGRAM_BINS = 100


def similarities(pairs: Pairs) -> Metrics:
    """Return the mean cosine of positives and of negatives."""
    if isinstance(pairs, EmbeddedPairs) and pairs.parts[0].is_two_views and not pairs.is_small:
        sums = _sums_of_two_views(pairs.parts[0].anchors)
    else:
        sums = _sums(pairs)
    positive, negative = (sums[0] / sums[1].clamp(min=1)).tolist()
    return {"train/similarity_positive": positive, "train/similarity_negative": negative}


def _sums(pairs: Pairs) -> Tensor:
    """Return the sums of the cosines of positives and of negatives, and below these how many there are: [2, 2]."""
    sums = torch.zeros(2, 2, dtype=torch.float64, device=pairs.device)
    for block in pairs.blocks():
        similarity, roles = block.similarity, block.roles
        counts = torch.stack([roles.positives(), roles.negatives()]).sum(dim=1)
        positive = roles.positive_mean(similarity).double() @ roles.positives().double()
        negative = roles.only_negatives(similarity, 0.0).sum(dtype=torch.float64)
        sums += torch.stack([torch.stack([positive, negative]), counts.double()])
    return sums


def _sums_of_two_views(rows: Tensor) -> Tensor:
    """Return the same of two views' 2N rows without a pass over their pairs: all cosines sum to the sum's square."""
    exact, n = rows.double(), len(rows) // 2
    positive = 2 * (exact[:n] * exact[n:]).sum()
    negative = exact.sum(dim=0).square().sum() - exact.square().sum() - positive
    counts = exact.new_tensor([2 * n, 2 * n * (2 * n - 2)])
    return torch.stack([torch.stack([positive, negative]), counts])


@torch.no_grad()
def histograms(pairs: Pairs) -> Histograms:
    """Return the shares of the cosines of positives and of negatives; a role that no pair has is left out."""
    counts = torch.zeros(2, HISTOGRAM_BINS, dtype=torch.int64, device=pairs.device)
    for block in pairs.blocks():
        bins = ((block.similarity.double() + 1) * (HISTOGRAM_BINS / 2)).long().clamp(0, HISTOGRAM_BINS - 1)
        positive = block.roles.positive
        for row, role in enumerate((positive, block.roles.candidate & ~positive)):
            counts[row] += torch.bincount(bins[role], minlength=HISTOGRAM_BINS)
    named = zip(("similarity_positive", "similarity_negative"), counts.double(), strict=True)
    return {name: (row / row.sum()).tolist() for name, row in named if row.sum() > 0}
