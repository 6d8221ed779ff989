"""Labelled images from idx files, and which of them are for what.

Validation is cut from the training file once and for all, not by the run's seed: in each class, in file order, the
first five sixths are for training and the rest for validation. Subsets are the first images of each class, in equal
shares or in a long tail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

DATASET = "fashion_mnist"
CLASSES = 10
TRAINING_SHARE = 5 / 6


@dataclass(frozen=True)
class Images:
    """Grey images with their labels.

    Attributes
    ----------
    pixels : Tensor [images, 1, height, width], uint8
    labels : Tensor [images], int64
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, items: Tensor) -> Images:
        """Return the images of the given numbers: int64 [n]."""
        return Images(self.pixels[items], self.labels[items])

    def to(self, device: torch.device) -> Images:
        """Return the images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))


def read_idx(path: Path) -> Tensor:
    """Read an idx file of unsigned bytes (LeCun's MNIST format).

    Returns
    -------
    Tensor, uint8
        In the shape that the header gives.

    Raises
    ------
    ValueError
        If the header is not that of unsigned bytes or does not fit the file's length.
    """
    content = bytearray(path.read_bytes())
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes: it begins with {bytes(content[:4])!r}")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise ValueError(f"{path} should hold {shape} bytes after its header, but is {len(content)} bytes long")
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).reshape(shape)


@lru_cache(maxsize=4)
def _load(pixels: Path, labels: Path) -> Images:
    images = Images(read_idx(pixels).unsqueeze(1), read_idx(labels).long())
    if len(images.pixels) != len(images.labels):
        raise ValueError(f"{pixels} holds {len(images.pixels)} images, {labels} {len(images.labels)} labels")
    return images


def load(part: str, locate: Callable[[str, str], Path], dataset: str = DATASET) -> Images:
    """Return all images of part ``"train"`` or ``"t10k"``; read once a process, so never write into them."""
    return _load(locate(dataset, f"{part}-images-idx3-ubyte"), locate(dataset, f"{part}-labels-idx1-ubyte"))


def part_of(dataset: str, part: str, locate: Callable[[str, str], Path]) -> Images:
    """Return the images of a data set's part ``"training"``, ``"validation"`` or ``"test"``; never write into them."""
    if part == "test":
        return load("t10k", locate, dataset)
    whole = load("train", locate, dataset)
    training, validation = split(whole.labels)
    return whole[training if part == "training" else validation]


def split(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of the training and of the validation images in the training file, each in file order."""
    rank = _rank_in_class(labels)
    training = rank < (TRAINING_SHARE * torch.bincount(labels)).long()[labels]
    return training.nonzero().squeeze(1), (~training).nonzero().squeeze(1)


def balanced(labels: Tensor, size: int) -> Tensor:
    """Return the numbers of the first ``size // CLASSES`` images of each class, in file order.

    Raises
    ------
    ValueError
        If some class has fewer, or `size` is not a multiple of the number of classes.
    """
    fewest = int(torch.bincount(labels, minlength=CLASSES).min())
    if size % CLASSES or size > CLASSES * fewest:
        raise ValueError(f"a multiple of {CLASSES} up to {CLASSES * fewest} expected, got {size} images")
    return (_rank_in_class(labels) < size // CLASSES).nonzero().squeeze(1)


def long_tailed(labels: Tensor, size: int, imbalance: float) -> Tensor:
    """Return the numbers of ever fewer images from class to class, the first of each in file order.

    Class c has ``size / CLASSES / imbalance^(c / (CLASSES - 1))`` of them, rounded down: the exponential profile of
    CIFAR-LT (Cui et al. 2019, arXiv 1901.05555), whose factor is the ratio of the largest to the smallest class. With
    factor 1 these are the :func:`balanced` ones.

    Parameters
    ----------
    labels : Tensor [images], int64
    size : int
        CLASSES times the images of the largest class.
    imbalance : float
        At least 1.

    Raises
    ------
    ValueError
        As :func:`balanced` does.
    """
    candidates = balanced(labels, size)
    labels = labels[candidates]
    counts = torch.tensor([int(size // CLASSES / imbalance ** (c / (CLASSES - 1))) for c in range(CLASSES)])
    return candidates[_rank_in_class(labels) < counts[labels]]


def _rank_in_class(labels: Tensor) -> Tensor:
    """Return for each image how many of its class come before it."""
    one_hot = torch.nn.functional.one_hot(labels, CLASSES)
    return (one_hot.cumsum(dim=0) - 1).gather(1, labels.unsqueeze(1)).squeeze(1)
