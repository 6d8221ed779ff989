"""torchvision's residual networks as encoders, and the heads of the published protocols."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor, nn

Name = Literal["resnet18", "resnet50"]
Stem = Literal["cifar", "imagenet"]
MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)


class ResNet(nn.Module):
    """A residual network (He et al. 2016, arXiv 1512.03385) without its classifier, with random weights.

    Parameters
    ----------
    name : "resnet18" or "resnet50"
    stem : "cifar" or "imagenet"
        For small images the first convolution is 3 x 3 without a stride, and nothing is pooled after it (Chen et al.
        2020, appendix B.9).

    Attributes
    ----------
    features : int
        Length of a feature vector.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: Name, stem: Stem) -> None:
        super().__init__()
        from torchvision import models

        network = {"resnet18": models.resnet18, "resnet50": models.resnet50}[name](weights=None)
        self.features = int(network.fc.in_features)
        network.fc = nn.Identity()
        if stem == "cifar":
            network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()
        self.network = network
        for buffer, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(buffer, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images in [0, 1]: [images, 3, side, side] -> [images, features]."""
        features: Tensor = self.network((images - self.mean) / self.deviation)
        return features


def projection(features: int, hidden: int, outputs: int, normalised: bool) -> nn.Module:
    """Return a head with one hidden layer.

    Parameters
    ----------
    features, hidden, outputs : int
    normalised : bool
        With batch normalisation after both layers, which then have no biases (SimCLR); else with biases (MoCo v2).
    """
    if not normalised:
        return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs, bias=False),
        nn.BatchNorm1d(outputs),
    )
