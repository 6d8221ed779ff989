"""A small convolutional encoder and the head on top of it."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder(nn.Module):
    """Two strided convolutions, 28 x 28 grey images to 4 x 4 places.

    Shallow, with a coarse first step and without pooling over places: what learns most in a minute of one core,
    where the images are aligned as Fashion-MNIST's are.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the second has twice as many.

    Attributes
    ----------
    features : int
        Length of a feature vector: 32 width.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = 2 * width * 4 * 4
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=6, stride=4, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Flatten(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images: [images, 1, 28, 28] -> [images, features]."""
        features: Tensor = self.layers(images)
        return features


class Model(nn.Module):
    """An encoder with a head: training sees the head's output, evaluation the encoder's."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return the head's output: [images, channels, height, width] -> [images, outputs]."""
        outputs: Tensor = self.head(self.encoder(images))
        return outputs


def projection_head(features: int, hidden: int, outputs: int) -> nn.Module:
    """Return SimCLR's projection head (Chen et al. 2020, section 2.1), with one hidden layer."""
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs, bias=False),
    )
