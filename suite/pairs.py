"""Embeddings to cosine similarities with their roles.

A benchmark builds a :class:`Pairs`; a loss sees nothing else. That is what lets any loss run in any benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Pairs:
    """Cosine similarities between anchors and candidates, and what each of them means.

    Attributes
    ----------
    similarity : Tensor [anchors, candidates]
        Cosine in [-1, 1], float32 or wider whatever the autocast.
    positive : Tensor [anchors, candidates], bool
        Where anchor and candidate belong together.
    candidate : Tensor [anchors, candidates], bool
        What enters the denominator. Self-similarity does not.
    index : Tensor [anchors], int64
        The sample behind each anchor, for losses that keep a state for every sample.
    """

    similarity: Tensor
    positive: Tensor
    candidate: Tensor
    index: Tensor


def normalise(embedding: Tensor) -> Tensor:
    """Rows of unit length, in float32 or wider; a zero row stays zero.

    Parameters
    ----------
    embedding : Tensor [rows, dimensions]
        Of any floating type.
    """
    wide = embedding if embedding.dtype == torch.float64 else embedding.float()
    return functional.normalize(wide, dim=1, eps=1e-12)


def two_view(z1: Tensor, z2: Tensor, index: Tensor | None = None) -> Pairs:
    """Pool two views of N samples: 2N anchors, 2N - 1 candidates each, one of them positive (NT-Xent).

    The convention of SimCLR (Chen et al. 2020, eq. 1), GRACE, CSI and DySTreSS.

    Parameters
    ----------
    z1, z2 : Tensor [N, D]
        Embeddings of the two views, row i of both from sample i; normalised here.
    index : Tensor [N], int64, optional
        The samples' numbers in the data set; 0 ... N-1 when not given.

    Raises
    ------
    ValueError
        If the views differ in shape or are not matrices.
    """
    if z1.ndim != 2 or z1.shape != z2.shape:
        raise ValueError(f"two views of one shape [N, D] expected, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    n, device = z1.shape[0], z1.device
    if index is None:
        index = torch.arange(n, device=device)
    with torch.autocast(device_type=device.type, enabled=False):
        pooled = normalise(torch.cat([z1, z2]))
        similarity = (pooled @ pooled.T).clamp(-1.0, 1.0)
    identity = torch.eye(2 * n, dtype=torch.bool, device=device)
    return Pairs(
        similarity=similarity,
        positive=identity.roll(n, dims=1),
        candidate=~identity,
        index=torch.cat([index, index]),
    )
