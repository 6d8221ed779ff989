"""The settings of mean-shifted contrastive training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from suite.benchmarks.anomaly import data
from suite.benchmarks.anomaly.data import CLASSES
from suite.benchmarks.anomaly.networks import NETWORKS
from suite.parameters import Count, Fraction, NonNegative, Positive


@dataclass(frozen=True)
class Settings:
    """What :class:`~suite.benchmarks.anomaly.AnomalyDetection` takes.

    Parameters
    ----------
    dataset : str
        One of :data:`~suite.benchmarks.anomaly.data.GREY` or :data:`~suite.benchmarks.anomaly.data.COLOUR`.
    encoder : "efficientnet_lite0", "resnet18" or "resnet152"
        See :data:`~suite.benchmarks.anomaly.networks.NETWORKS`.
    classes : sequence of int
        Which are normal, each in its turn.
    shift : bool
        Whether to shift by the centre; without it this is plain contrastive training.
    normal_images : int
        How many of each class to train on, and to measure distances to: the first of the training images.
    val_images, test_images : int
        How many to score; equal shares of each class, the last of the training images, the first of the test images.
    size : int
        Side of the images that the encoder takes.
    centre : float
        Share of an image's side that is kept when it is scored.
    views : int
        How many are kept of each image; 0 draws new ones at every step, as published.
    epochs, batch : int
    learning_rate, weight_decay : float
        Of SGD without momentum, as published; the rate stays what it is.
    crop, jitter, hue, grey, blurred : float
    kernel : int
        Of the views; see :class:`~suite.benchmarks.image.colour.augment.ColourAugmentation`.

    Raises
    ------
    ValueError
        If the data set or a class does not exist, classes repeat, images have a size that the encoder or the blur does
        not take, or one view is kept.
    """

    dataset: str = "fashion_mnist"
    encoder: Literal["efficientnet_lite0", "resnet18", "resnet152"] = "efficientnet_lite0"
    classes: Sequence[int] = tuple(range(CLASSES))
    shift: bool = True
    normal_images: Count = 300
    val_images: Count = 1000
    test_images: Count = 3000
    size: Count = 32
    centre: Fraction = 1.0
    views: Annotated[int, Ge(0)] = 4
    epochs: Count = 3
    batch: Count = 64
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 5e-5
    crop: Fraction = 0.7
    jitter: Fraction = 0.4
    hue: Fraction = 0.0
    grey: Fraction = 0.0
    blurred: Fraction = 0.0
    kernel: Count = 23

    def __post_init__(self) -> None:
        if self.dataset not in (*data.GREY, *data.COLOUR):
            raise ValueError(f"dataset should be one of {', '.join((*data.GREY, *data.COLOUR))}, got {self.dataset!r}")
        if self.encoder not in NETWORKS:
            raise ValueError(f"encoder should be one of {', '.join(NETWORKS)}, got {self.encoder!r}")
        if not self.classes or len(set(self.classes)) < len(self.classes) or not set(self.classes) <= {*range(CLASSES)}:
            raise ValueError(f"classes should be different ones of 0 to {CLASSES - 1}, got {list(self.classes)}")
        multiple = NETWORKS[self.encoder].multiple
        if self.size % multiple:
            raise ValueError(f"size should be a multiple of {multiple} for {self.encoder}, got {self.size}")
        if self.blurred and (self.kernel % 2 == 0 or self.kernel // 2 >= self.size):
            raise ValueError(f"kernel should be odd, its half less than {self.size} pixels, got {self.kernel}")
        if self.views == 1:
            raise ValueError("views should be 0 (new ones at every step) or at least 2, got 1")
