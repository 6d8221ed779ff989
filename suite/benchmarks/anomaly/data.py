"""Which images are normal, which are to be told from them, and what the encoder is pretrained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from suite.benchmarks.image.data import read_idx

PRETRAINING_DATASET = "mnist"


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


@lru_cache(maxsize=1)
def _digits(path: Path) -> Tensor:
    return read_idx(path).unsqueeze(1)


def digits(locate: Callable[[str, str], Path]) -> Tensor:
    """Return MNIST's training images: uint8 [images, 1, height, width]; read once a process, so never write into them.

    They are digits, of which Fashion-MNIST has none. Their labels are not read.
    """
    return _digits(locate(PRETRAINING_DATASET, "train-images-idx3-ubyte"))


def to_float(pixels: Tensor) -> Tensor:
    """Bring uint8 pixels to [0, 1]."""
    return pixels.to(torch.float32) / 255
