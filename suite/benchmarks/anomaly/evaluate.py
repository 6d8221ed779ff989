"""How anomalous a feature is, and how well that tells anomalies from what is normal."""

from __future__ import annotations

import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from suite.pairs import normalise

NEIGHBOURS = 2
QUERIES_AT_ONCE = 1000


def distance_to_nearest(gallery: Tensor, queries: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Return the sum of squared Euclidean distances to the nearest features of normal training images.

    The score of Reiss & Hoshen 2021 (arXiv 2106.03844) and of DN2 (Bergman et al. 2020, arXiv 2002.10445).

    Parameters
    ----------
    gallery : Tensor [gallery, features]
    queries : Tensor [queries, features]
        Neither is normalised here.
    neighbours : int
        At most the gallery's size.

    Returns
    -------
    Tensor [queries], float64
        The larger, the more anomalous. In float32 the differences of collapsed features would vanish in their lengths.
    """
    gallery, queries = gallery.double(), queries.double()
    lengths = gallery.square().sum(dim=1)
    scores = []
    for some in torch.split(queries, QUERIES_AT_ONCE):
        # |q - g|^2 without |q|^2, which does not change the order
        distances = torch.addmm(lengths, some, gallery.T, alpha=-2.0)
        nearest = distances.topk(neighbours, dim=1, largest=False, sorted=False).values
        scores.append((nearest + some.square().sum(dim=1, keepdim=True)).sum(dim=1))
    return torch.cat(scores)


def spherical_distance_to_nearest(gallery: Tensor, queries: Tensor) -> Tensor:
    """Return :func:`distance_to_nearest` of the features on the unit sphere."""
    return distance_to_nearest(normalise(gallery.double()), normalise(queries.double()))


def detection(scores: Tensor, anomalous: Tensor) -> dict[str, float]:
    """Return ``roc_auc`` and ``average_precision`` of scores, anomalies being the positives.

    Parameters
    ----------
    scores : Tensor [images]
    anomalous : Tensor [images], bool
        Some of each.
    """
    truth, values = anomalous.cpu().numpy(), scores.cpu().numpy()
    return {
        "roc_auc": float(roc_auc_score(truth, values)),
        "average_precision": float(average_precision_score(truth, values)),
    }
