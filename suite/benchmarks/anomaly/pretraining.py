"""Filters without labels: whitened principal components of image patches."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.benchmarks.anomaly.data import to_float

#: Share of the largest standard deviation that is added to all, so that rare patterns are not blown up.
WHITENING_FLOOR = 0.1
PATCH_STRIDE = 3


def whitened_components(images: Tensor, count: int, size: int) -> Tensor:
    """Return filters that see the principal components of image patches, scaled towards equal variance.

    The filters of PCANet (Chan et al. 2015, arXiv 1404.3606, section II) with the whitening of Coates, Ng & Lee 2011
    ("An analysis of single-layer networks in unsupervised feature learning", AISTATS). The patches lose their means
    first, and so do the filters: they do not answer to an even area.

    Parameters
    ----------
    images : Tensor [images, 1, height, width], uint8
    count : int
        At most ``size ** 2 - 1``.
    size : int
        Of the square patches.

    Returns
    -------
    Tensor [count, 1, size, size]
        In the order of falling variance.
    """
    patches = torch.nn.functional.unfold(to_float(images), size, stride=PATCH_STRIDE).transpose(1, 2).flatten(0, 1)
    patches = patches - patches.mean(dim=1, keepdim=True)
    variances, components = torch.linalg.eigh((patches.T @ patches).double() / len(patches))
    deviations = variances.flip(0)[:count].clamp(min=0.0).sqrt()
    filters: Tensor = components.flip(1)[:, :count].T / (deviations / deviations[0] + WHITENING_FLOOR).unsqueeze(1)
    filters = filters - filters.mean(dim=1, keepdim=True)
    return filters.float().reshape(count, 1, size, size)


def random_filters(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return Gaussian filters without a mean, of unit length: [count, 1, size, size]."""
    filters = torch.randn(count, size * size, generator=generator)
    filters = filters - filters.mean(dim=1, keepdim=True)
    return torch.nn.functional.normalize(filters, dim=1).reshape(count, 1, size, size)
