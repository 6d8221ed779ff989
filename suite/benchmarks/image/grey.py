"""SimCLR and MoCo on other grey images than Fashion-MNIST's: silhouettes of animals, digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch

from suite.benchmarks.image import data
from suite.benchmarks.image.data import CLASSES, Images
from suite.benchmarks.image.task import AVAILABLE, ImageClassification
from suite.parameters import Count

SILHOUETTES: Final = {"train_images": 5_000, "gallery_images": 5_000, "val_images": 1_000, "test_images": 2_000}
SHARES: Mapping[str, tuple[int, int]] = {"training": (0, 500), "validation": (500, 600), "test": (600, 800)}
"""Which images of each class are for what, of those that differ, in file order."""

PIXELS = (150, 10_000 * 28 * 28)
LABELS = (146, 10_000 * 8)
"""Where the arrays lie in their files, and their bytes. The files are pickles of one array each, whose checksums the
catalogue pins; so nothing needs to be unpickled."""


@dataclass(frozen=True)
class GreyImageClassification(ImageClassification):
    """The same encoder, views and evaluation on other grey images of 28 x 28 in ten classes.

    Parameters
    ----------
    dataset : "animal_shapes" or "mnist"
        Silhouettes of animals: of 10,000 images 9,716 differ; of each class the first 500 of these are for training,
        100 for validation, 200 for testing. Or MNIST's digits, split as Fashion-MNIST is.
    **settings
        As of :class:`ImageClassification`. There have to be as many images as they ask for: of the silhouettes 5,000,
        1,000 and 2,000.

    Raises
    ------
    ValueError
        If the data set is unknown, or has fewer images.
    """

    dataset: Literal["animal_shapes", "mnist"] = "animal_shapes"
    train_images: Count = 5_000
    val_images: Count = 1_000
    test_images: Count = 2_000

    def __post_init__(self) -> None:
        if self.dataset not in ("animal_shapes", "mnist"):
            raise ValueError(f"dataset should be 'animal_shapes' or 'mnist', got {self.dataset!r}")
        super().__post_init__()

    @property
    def available(self) -> Mapping[str, int]:
        """How many images there are for each purpose."""
        return AVAILABLE if self.dataset == "mnist" else SILHOUETTES

    def images(self, part: str, locate: Callable[[str, str], Path]) -> Images:
        """Return the images of part ``"training"``, ``"validation"`` or ``"test"``; never write into them."""
        if self.dataset == "mnist":
            return data.part_of(self.dataset, part, locate)
        files = (locate(self.dataset, f"animal_{kind}_version_3") for kind in ("data", "label"))
        return _load(*files)[part]


@lru_cache(maxsize=2)
def _load(pixels: Path, labels: Path) -> Mapping[str, Images]:
    images = _array(pixels, PIXELS, np.uint8).reshape(-1, 28, 28)
    classes = _array(labels, LABELS, np.int64)
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    first.sort()
    images, classes = images[first], classes[first]
    rank = np.empty_like(classes)
    for label in range(CLASSES):
        rank[classes == label] = np.arange((classes == label).sum())
    parts = {}
    for part, (begin, end) in SHARES.items():
        chosen = (begin <= rank) & (rank < end)
        parts[part] = Images(torch.from_numpy(images[chosen]).unsqueeze(1), torch.from_numpy(classes[chosen]))
    return parts


def _array(path: Path, where: tuple[int, int], kind: type) -> np.ndarray:
    start, size = where
    content = path.read_bytes()
    if len(content) < start + size:
        raise ValueError(f"{path} should hold {size} bytes after its header, but is {len(content)} bytes long")
    return np.frombuffer(content, np.dtype(kind).newbyteorder("<"), size // np.dtype(kind).itemsize, start)
