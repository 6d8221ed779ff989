"""The settings of the published protocols on colour images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from suite.benchmarks.image.colour.data import DATASETS
from suite.parameters import Count, Fraction, NonNegative, Positive


@dataclass(frozen=True)
class Settings:
    """What :class:`~suite.benchmarks.image.colour.ColourImageClassification` takes.

    Parameters
    ----------
    dataset : str
        One of :data:`suite.benchmarks.image.colour.data.DATASETS`.
    framework : "simclr" or "moco"
    encoder : "resnet18" or "resnet50"
    stem : "cifar" or "imagenet"
        The latter is torchvision's own; see :class:`~suite.benchmarks.image.colour.encoder.ResNet`.
    size : int
        Side of views and of evaluated images.
    centre : float
        Share of the shorter side that is kept in evaluation.
    epochs, batch : int
        Steps that do not fill a batch are left out.
    optimizer : "sgd" or "lars"
        With LARS, biases and normalisation are not decayed.
    learning_rate, momentum, weight_decay : float
        Of a whole batch.
    warm_up : int
        Epochs of a linear rise, with half a cosine by steps after it; with none, half a cosine by epochs.
    hidden, embedding : int
        Widths of the projection head.
    normalised_head : bool
        See :func:`~suite.benchmarks.image.colour.encoder.projection`.
    crop, jitter, hue, blurred : float
    kernel : int
        Of the augmentation; see :class:`~suite.benchmarks.image.colour.augment.ColourAugmentation`.
    imbalance : float
        Images of the largest class for one of the smallest among those trained on. The labelled images stay balanced.
    queue : int
        Keys that MoCo's queue holds.
    key_momentum : float
        Share of its weights that MoCo's copy keeps at each step.
    symmetric : bool
        MoCo sets second views against first ones, too.
    chunk : int, optional
        Views to compute at once; see :func:`suite.training.chunks.in_chunks`.
    train_images : int, optional
        How many images of a balanced data set to train on, in equal shares of each class, to shorten an epoch; all by
        default.
    gallery_images, val_images, test_images : int, optional
        How many labelled images, and how many to classify, in equal shares of each class, to shorten the evaluation;
        all by default.

    Raises
    ------
    ValueError
        If the data set is unknown, the blur's kernel does not fit, MoCo's queue would not hold a step's keys, or a long
        tail is to be shortened.
    """

    compiles: ClassVar[bool] = True
    distributed: ClassVar[bool] = True

    dataset: str = "cifar10"
    framework: Literal["simclr", "moco"] = "simclr"
    encoder: Literal["resnet18", "resnet50"] = "resnet18"
    stem: Literal["cifar", "imagenet"] = "cifar"
    size: Count = 32
    centre: Fraction = 1.0
    epochs: Count = 200
    batch: Count = 128
    optimizer: Literal["sgd", "lars"] = "sgd"
    learning_rate: Positive = 0.06
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 5e-4
    warm_up: Annotated[int, Ge(0)] = 0
    hidden: Count = 512
    embedding: Count = 128
    normalised_head: bool = True
    crop: Fraction = 0.08
    jitter: Fraction = 0.4
    hue: Annotated[float, Ge(0)] = 0.1
    blurred: Fraction = 0.0
    kernel: Count = 23
    imbalance: Annotated[float, Ge(1)] = 1.0
    queue: Count = 4096
    key_momentum: Fraction = 0.99
    symmetric: bool = True
    chunk: Count | None = None
    train_images: Count | None = None
    gallery_images: Count | None = None
    val_images: Count | None = None
    test_images: Count | None = None

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset should be one of {', '.join(DATASETS)}, got {self.dataset!r}")
        if self.blurred and (self.kernel % 2 == 0 or self.kernel // 2 >= self.size):
            raise ValueError(f"kernel should be odd, its half less than {self.size} pixels, got {self.kernel}")
        if self.hue > 0.5:
            raise ValueError(f"hue should be at most half of the circle, 0.5, got {self.hue:g}")
        if self.imbalance != 1 and self.train_images is not None:
            raise ValueError(f"train_images should be left out with a long tail, got {self.train_images}")
        keys = self.batch * (2 if self.symmetric else 1)
        if self.framework == "moco" and self.queue < keys:
            raise ValueError(f"queue should hold at least the {keys} keys of a step, got {self.queue}")

    @property
    def classes(self) -> int:
        """Classes of the data set."""
        return DATASETS[self.dataset].classes
