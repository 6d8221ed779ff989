"""Synthetic images in the files of Fashion-MNIST and MNIST, and a tiny benchmark on them."""

from pathlib import Path

import numpy as np

from suite.benchmarks.anomaly import AnomalyDetection
from tests.benchmarks.images_factory import Locate, write_idx

TINY = AnomalyDetection(
    classes=(3, 7),
    normal_images=50,
    val_images=100,
    test_images=100,
    pretraining_images=100,
    filters=4,
    epochs=2,
    batch=25,
    learning_rate=0.01,
)


def write_files(folder: Path) -> Locate:
    """Write 600 training and 120 test images to tell apart and 200 to pretrain on; return what finds them."""
    for dataset in ("fashion_mnist", "mnist"):
        (folder / dataset).mkdir()
    write_part(folder / "fashion_mnist", "train", 600, seed=1)
    write_part(folder / "fashion_mnist", "t10k", 120, seed=2)
    write_part(folder / "mnist", "train", 200, seed=5)

    def path(dataset: str, member: str) -> Path:
        assert dataset == "fashion_mnist" or member == "train-images-idx3-ubyte", f"{dataset}/{member} touched"
        return folder / dataset / member

    return path


def write_part(folder: Path, part: str, count: int, seed: int) -> None:
    """Ten classes that overlap: a square at one of ten places, moved by up to three pixels, in strong noise."""
    draws = np.random.default_rng(seed)
    labels = draws.permutation(np.arange(count) % 10)
    images = draws.integers(0, 120, (count, 28, 28))
    for image, label in zip(images, labels, strict=True):
        top, left = np.array([14 * (label // 5) + 3, 5 * (label % 5) + 1]) + draws.integers(-3, 4, 2)
        image[top : top + 6, max(0, left) : left + 5] += draws.integers(20, 130)
    write_idx(folder / f"{part}-images-idx3-ubyte", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
