"""Synthetic images in the files of Fashion-MNIST, a small network for EfficientNet-lite0, and a tiny benchmark."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from suite.benchmarks.anomaly import AnomalyDetection
from suite.benchmarks.anomaly.networks import NETWORKS, Network
from suite.benchmarks.anomaly.normalisation import FixedStatistics
from tests.benchmarks.images_factory import Locate, write_idx

TINY = AnomalyDetection(
    classes=(3, 7),
    normal_images=50,
    val_images=100,
    test_images=100,
    views=3,
    epochs=2,
    batch=25,
    learning_rate=0.1,
    crop=0.7,
)
WEIGHTS = NETWORKS["efficientnet_lite0"].member


def small_parts(state: Mapping[str, Tensor] | None) -> nn.Sequential:
    """Two convolutions, normalised by fixed statistics; their pooled outputs are 4 x 4 x 8 features."""
    parts = [
        nn.Sequential(nn.Conv2d(colours, width, 3, 2, 1, bias=False), FixedStatistics(width), nn.ReLU())
        for colours, width in ((3, 6), (6, 8))
    ]
    network = nn.Sequential(*parts, nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten()))
    if state is not None:
        network.load_state_dict(state)
    return network


#: The first convolution is frozen.
SMALL = Network(small_parts, "efficientnet_lite0", WEIGHTS, ((0.5,) * 3, (0.5,) * 3), frozen=1)


def write_weights(path: Path, seed: int = 0) -> None:
    """Write weights of the small network, its statistics and scales among them."""
    generator = torch.Generator().manual_seed(seed)
    state = small_parts(None).state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            draw = torch.randn(tensor.shape, generator=generator)
            state[name] = 0.5 * draw if tensor.ndim > 1 else 1.0 + 0.3 * draw.abs()
    torch.save(state, path)


def write_files(folder: Path) -> Locate:
    """Write 600 training and 120 test images to tell apart, and weights; return what finds them."""
    for dataset in ("fashion_mnist", "efficientnet_lite0"):
        (folder / dataset).mkdir()
    write_part(folder / "fashion_mnist", "train", 600, seed=1)
    write_part(folder / "fashion_mnist", "t10k", 120, seed=2)
    write_weights(folder / "efficientnet_lite0" / WEIGHTS)

    def path(dataset: str, member: str) -> Path:
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
