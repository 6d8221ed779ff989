"""EfficientNet-lite0, in the shape in which its ImageNet weights are published for PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.anomaly.normalisation import FixedStatistics

#: Of each stage: blocks, side of the kernel, stride of the first block, factor of the expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32
FEATURES = 1280
EPSILON = 1e-3

_OF_A_BLOCK = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
_OF_THE_REST = {"_conv_stem": "0.0", "_bn0": "0.1", "_conv_head": "17.0", "_bn1": "17.1"}


def efficientnet_lite0() -> nn.Sequential:
    """Return the network up to its features, without its classifier, in 19 parts; weights are torch's initial ones.

    EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946, table 1) without squeeze and excitation, with ReLU6 for swish, as
    TensorFlow's repository defines EfficientNet-lite. The parts are the stem, 16 blocks, the head, and the average over
    places: [images, 3, height, width] -> [images, 1280]. Padding is that of images whose sides are multiples of 32.
    """
    parts: list[nn.Module] = [_unit(3, STEM, 3, stride=2)]
    channels = STEM
    for blocks, kernel, stride, expansion, width in STAGES:
        for number in range(blocks):
            parts.append(Block(channels, width, kernel, stride if number == 0 else 1, expansion))
            channels = width
    head = _unit(channels, FEATURES, 1)
    return nn.Sequential(*parts, head, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def renamed(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a published state under the names of :func:`efficientnet_lite0`, without the classifier.

    Parameters
    ----------
    published : mapping of name to Tensor
        As of PyPI's ``efficientnet-lite-pytorch``: ``_blocks.3._bn0.weight``.

    Raises
    ------
    ValueError
        If there is a name that this network does not have.
    """
    state, unknown = {}, []
    for name, tensor in published.items():
        owner, _, rest = name.partition(".")
        if owner == "_fc":
            continue
        if owner == "_blocks":
            number, part, rest = rest.split(".", 2)
            place = f"{int(number) + 1}.{_OF_A_BLOCK[part]}" if part in _OF_A_BLOCK else None
        else:
            place = _OF_THE_REST.get(owner)
        if place is None:
            unknown.append(name)
        else:
            state[f"{place}.{rest}"] = tensor
    if unknown:
        raise ValueError(f"no weights of EfficientNet-lite0: {', '.join(unknown)}")
    return state


class Block(nn.Module):
    """An inverted bottleneck: to more channels, over places one channel at a time, and back; with a shortcut."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = _unit(channels, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _unit(inner, inner, kernel, stride, groups=inner)
        self.project = _unit(inner, width, 1, rectified=False)
        self.shortcut = stride == 1 and channels == width

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of `width` channels: [images, channels, height, width] -> likewise, over the stride."""
        result: Tensor = self.project(self.depthwise(self.expand(maps)))
        return result + maps if self.shortcut else result


class _Convolution(nn.Conv2d):
    """A convolution that pads as TensorFlow does: of an odd number of rows, the last side has one more."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__(channels, width, kernel, stride, groups=groups, bias=False)
        self.before, self.after = (kernel - stride) // 2, (kernel - stride + 1) // 2

    def forward(self, maps: Tensor) -> Tensor:
        """Return [images, width, height / stride, width / stride] of [images, channels, height, width]."""
        if self.groups > 1 and self.stride[0] == 1 and maps.shape[-2:] == (1, 1):
            # one place meets the middle of the kernel alone; oneDNN takes a hundred times as long for the gradients
            middle = self.kernel_size[0] // 2
            return maps * self.weight[:, :, middle, middle].unsqueeze(-1)
        if self.before == self.after:
            return functional.conv2d(maps, self.weight, self.bias, self.stride, self.before, groups=self.groups)
        maps = functional.pad(maps, [self.before, self.after, self.before, self.after])
        return functional.conv2d(maps, self.weight, self.bias, self.stride, groups=self.groups)


def _unit(
    channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1, rectified: bool = True
) -> nn.Sequential:
    layers: Iterator[nn.Module] = iter([nn.ReLU6(inplace=True)] if rectified else [])
    convolution = _Convolution(channels, width, kernel, stride, groups)
    return nn.Sequential(convolution, FixedStatistics(width, eps=EPSILON), *layers)
