"""Labelled images by data set, and which of them are normal."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor

from suite.benchmarks.image.colour import data as colour
from suite.benchmarks.image.data import read_idx

Locate = Callable[[str, str], Path]

CLASSES: Final = 10
#: Grey images in MNIST's files, and colour images as their authors pack them.
GREY: Final = ("fashion_mnist", "kmnist", "mnist")
COLOUR: Final = ("cifar10", "cifar10_jpeg")


def load(dataset: str, part: Literal["train", "test"], locate: Locate) -> colour.HeldImages:
    """Return the images of a part of a data set; read once a process, so never write into them.

    Parameters
    ----------
    dataset : str
        One of :data:`GREY` or :data:`COLOUR`.
    part : "train" or "test"
    locate : callable (dataset, member) -> Path
    """
    if dataset in COLOUR:
        images = colour.load(dataset, part, locate)
        assert isinstance(images, colour.HeldImages), f"images of {dataset} have different sizes"
        return images
    name = "t10k" if part == "test" else part
    return _read(locate(dataset, f"{name}-images-idx3-ubyte"), locate(dataset, f"{name}-labels-idx1-ubyte"))


@lru_cache(maxsize=4)
def _read(pixels: Path, labels: Path) -> colour.HeldImages:
    grey, of_each = read_idx(pixels), read_idx(labels).long()
    if len(grey) != len(of_each):
        raise ValueError(f"{pixels} holds {len(grey)} images, {labels} {len(of_each)} labels")
    return colour.HeldImages(grey.unsqueeze(1).expand(-1, 3, -1, -1), of_each)


def first_of_class(labels: Tensor, label: int, size: int) -> Tensor:
    """Return the numbers of the first `size` images of a class, in file order: int64 [size].

    Raises
    ------
    ValueError
        If the class has fewer.
    """
    numbers = (labels == label).nonzero().squeeze(1)
    if len(numbers) < size:
        raise ValueError(f"{size} images of class {label} expected, got {len(numbers)}")
    return numbers[:size]


def last_of_each_class(labels: Tensor, size: int) -> Tensor:
    """Return the numbers of the last ``size // CLASSES`` images of every class, in file order: int64 [size].

    Raises
    ------
    ValueError
        If a class has fewer.
    """
    from_behind = [first_of_class(labels.flip(0), label, size // CLASSES) for label in range(CLASSES)]
    return (len(labels) - 1 - torch.cat(from_behind)).sort().values
