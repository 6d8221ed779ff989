"""Which images of a labelled list are for what: nothing is drawn, all by the order of the list."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_in_class(labels: Tensor) -> Tensor:
    """Return for each image how many of its class come before it: int64 [images]."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    first = counts.cumsum(dim=0) - counts
    ranks = torch.empty_like(labels)
    ranks[order] = torch.arange(len(labels)) - first[labels[order]]
    return ranks


def held_out(labels: Tensor, share: float) -> Tensor:
    """Return which images are the last of their class, that share of it: bool [images]."""
    return rank_in_class(labels) >= (torch.bincount(labels) * (1 - share)).round().long()[labels]


def first_of_each(labels: Tensor, size: int | None, classes: int) -> Tensor:
    """Return the numbers of the first images of each class in equal shares, in order; of all if no size is given.

    Raises
    ------
    ValueError
        If some class has fewer, or the size is not a multiple of the number of classes.
    """
    if size is None:
        return torch.arange(len(labels))
    fewest = int(torch.bincount(labels, minlength=classes).min())
    if size % classes or not 0 < size <= classes * fewest:
        raise ValueError(f"a multiple of {classes} up to {classes * fewest} expected, got {size} images")
    return (rank_in_class(labels) < size // classes).nonzero().squeeze(1)


def long_tailed(labels: Tensor, imbalance: float, classes: int) -> Tensor:
    """Return the numbers of ever fewer images from class to class, the first of each.

    Class c of C has ``n imbalance^(-c / (C - 1))`` of them, rounded down, n being the smallest class: CIFAR-LT (Cui et
    al. 2019, arXiv 1901.05555).

    Parameters
    ----------
    labels : Tensor [images], int64
    imbalance : float
        Images of the largest class for one of the smallest, at least 1.
    classes : int
    """
    largest = int(torch.bincount(labels, minlength=classes).min())
    shares = torch.arange(classes, dtype=torch.float64) / (classes - 1)
    # a share of the tail may be a whole number but for rounding
    counts = (largest * float(imbalance) ** -shares + 1e-9).long()
    return (rank_in_class(labels) < counts[labels]).nonzero().squeeze(1)
