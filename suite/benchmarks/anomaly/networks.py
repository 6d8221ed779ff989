"""Networks that were pretrained on ImageNet with labels: what is frozen of them, and what training goes on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from suite.benchmarks.anomaly.lite import efficientnet_lite0, renamed
from suite.benchmarks.anomaly.normalisation import FixedStatistics, fold

State = Mapping[str, Tensor]
#: Mean and standard deviation of ImageNet's three colours in [0, 1].
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Encoder(nn.Module):
    """A network in two: what keeps its weights, and what is trained.

    Parameters
    ----------
    frozen : nn.Sequential
        Takes images in [0, 1]: [images, 1 or 3, height, width].
    trained : nn.Sequential
        Takes what `frozen` gives, and gives features: [images, features].
    """

    def __init__(self, frozen: nn.Sequential, trained: nn.Sequential) -> None:
        super().__init__()
        self.frozen = frozen.eval().requires_grad_(False)
        self.trained = trained

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images: [images, 1 or 3, height, width] -> [images, features]."""
        features: Tensor = self.trained(self.frozen(images))
        return features


class Standardised(nn.Module):
    """Each colour by a mean and a standard deviation; a grey image has its one colour thrice."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return [images, 3, height, width] of [images, 1 or 3, height, width]."""
        colours = (images - self.mean) / self.deviation
        return colours.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Network:
    """A network and its weights.

    Attributes
    ----------
    parts : callable (state or None) -> nn.Sequential
        Gives it in parts, without its classifier, its batch normalisation with fixed statistics; with the weights that
        a file holds, or torch's initial ones.
    dataset, member : str
        Where the data store has its weights.
    colours : pair of tuples
        Mean and deviation that images are standardised by.
    frozen : int
        How many of the parts keep their weights.
    multiple : int
        Of which the sides of images have to be multiples.
    """

    parts: Callable[[State | None], nn.Sequential]
    dataset: str
    member: str
    colours: tuple[tuple[float, ...], tuple[float, ...]]
    frozen: int
    multiple: int = 1

    def pretrained(self, locate: Callable[[str, str], Path]) -> Encoder:
        """Return the encoder with the weights of the file that ``locate(dataset, member)`` finds."""
        path = locate(self.dataset, self.member)
        return self._in_two(self.parts(torch.load(path, weights_only=True, map_location="cpu")))

    def untrained(self) -> Encoder:
        """Return the encoder with random weights, by torch's default generator.

        Torch's own initial ones, which are smaller than He's: where statistics of a batch normalise nothing, each of 50
        residual blocks would double the variance.
        """
        network = self.parts(None)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        return self._in_two(network)

    def _in_two(self, network: nn.Sequential) -> Encoder:
        first = nn.Sequential(Standardised(*self.colours), *network[: self.frozen]).eval()
        fold(first)
        # images in channels last are twice as fast on a CPU, too
        return Encoder(first, network[self.frozen :]).to(memory_format=torch.channels_last)


def _lite0(state: State | None) -> nn.Sequential:
    network = efficientnet_lite0()
    if state is not None:
        network.load_state_dict(renamed(state))
    return network


def _resnet(state: State | None, name: str) -> nn.Sequential:
    """Return torchvision's ResNet in 6 parts: the stem, four stages, and the average over places."""
    from torchvision.models import resnet  # a second to import, and only this needs it

    network = getattr(resnet, name)(norm_layer=FixedStatistics)
    network.fc = nn.Identity()
    if state is not None:
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    stages = (network.layer1, network.layer2, network.layer3, network.layer4)
    return nn.Sequential(stem, *stages, nn.Sequential(network.avgpool, nn.Flatten()))


#: By name. The published code freezes the stem and two stages of ResNet-152, and nothing of ResNet-18; of
#: EfficientNet-lite0 the stem and eleven blocks are frozen here, up to the same stride of 16.
NETWORKS: Final[Mapping[str, Network]] = {
    "efficientnet_lite0": Network(
        _lite0,
        "efficientnet_lite0",
        "efficientnet-lite0-57934424.pth",
        ((127 / 255,) * 3, (128 / 255,) * 3),
        frozen=12,
        multiple=32,
    ),
    "resnet18": Network(
        partial(_resnet, name="resnet18"), "resnet18_imagenet", "resnet18-f37072fd.pth", IMAGENET, frozen=0
    ),
    "resnet152": Network(
        partial(_resnet, name="resnet152"), "resnet152_imagenet", "resnet152-394f9c45.pth", IMAGENET, frozen=3
    ),
}
