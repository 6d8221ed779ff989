"""Synthetic images in Fashion-MNIST's files, and a tiny benchmark on them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from suite.benchmarks.image import ImageClassification
from suite.conformance.benchmark import BenchmarkConformance
from suite.training import Context
from suite.training.streams import Streams

Locate = Callable[[str, str], Path]

TINY = ImageClassification(
    train_images=200, gallery_images=100, val_images=100, test_images=100, batch=50, epochs=2, width=4, hidden=16
)


def write_images(folder: Path) -> Locate:
    """Write a training file of 600 images and a test file of 120; return what finds them."""
    write_part(folder, "train", 600, seed=1)
    write_part(folder, "t10k", 120, seed=2)

    def path(dataset: str, member: str) -> Path:
        assert dataset == "fashion_mnist"
        return folder / member

    return path


def write_part(folder: Path, part: str, count: int, seed: int) -> None:
    """Ten classes: a bright square at one of ten places, moved by a pixel or two, of any brightness, in noise."""
    draws = np.random.default_rng(seed)
    labels = draws.permutation(np.arange(count) % 10)
    images = draws.integers(0, 40, (count, 28, 28))
    for image, label in zip(images, labels, strict=True):
        top, left = np.array([14 * (label // 5) + 3, 5 * (label % 5) + 1]) + draws.integers(-1, 2, 2)
        image[top : top + 5, left : left + 4] += draws.integers(60, 200)
    write_idx(folder / f"{part}-images-idx3-ubyte", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte", labels)


def write_idx(path: Path, content: np.ndarray) -> None:
    header = bytes([0, 0, 8, content.ndim]) + b"".join(size.to_bytes(4, "big") for size in content.shape)
    path.write_bytes(header + content.astype(np.uint8).tobytes())


def context(locate: Locate, seed: int = 0) -> Context:
    return Context(Streams(seed), torch.device("cpu"), locate)


class ImageConformance(BenchmarkConformance):
    """What every benchmark on idx files has to fulfil, on those that `write` and `write_part` make."""

    write = staticmethod(write_images)
    write_part = staticmethod(write_part)

    primary = "few_label_accuracy"
    references = ("chance", "raw", "untrained", "supervised")

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.locate = self.write(tmp_path)
        self.other_folder = tmp_path / "other"

    def context(self, seed: int) -> Context:
        return context(self.locate, seed)

    def with_other_test_items(self, context: Context) -> Context:
        self.other_folder.mkdir()
        self.write_part(self.other_folder, "t10k", 120, seed=3)

        def path(dataset: str, member: str) -> Path:
            return self.other_folder / member if member.startswith("t10k") else context.data(dataset, member)

        return replace(context, data=path)
