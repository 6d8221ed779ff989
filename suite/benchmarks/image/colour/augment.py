"""The colour augmentations of SimCLR and MoCo v2 on whole batches, on the images' device.

Equal in distribution to torchvision.transforms.v2 on float images (tests compare them operation by operation): what is
drawn is drawn on the CPU, whatever the device, so that the views of a seed are the same everywhere but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.benchmarks.image.colour import crops

GREY = (0.2989, 0.587, 0.114)
LEAST_SIGMA, LARGEST_SIGMA = 0.1, 2.0
OPERATIONS = 4


@dataclass(frozen=True)
class ColourAugmentation:
    """Random resized crop, mirror image, colour jitter in random order, grey, blur: appendix A of SimCLR's paper.

    Parameters
    ----------
    size : int
        Side of a view.
    crop : float
        Smallest share of the area that a crop keeps.
    jitter : float
        Brightness, contrast and saturation are each multiplied by a factor from ``[1 - jitter, 1 + jitter]``.
    hue : float
        The hue is turned by a share of the circle from ``[-hue, hue]``.
    jittered, grey, blurred : float
        Probabilities of jitter, of no colour at all, of blur. Half the views are mirrored.
    kernel : int
        Width of the blur's kernel in pixels, odd; its standard deviation is from .1 to 2 pixels.
    """

    size: int
    crop: float = 0.08
    jitter: float = 0.4
    hue: float = 0.1
    jittered: float = 0.8
    grey: float = 0.2
    blurred: float = 0.0
    kernel: int = 23

    def boxes(self, height: Tensor, width: Tensor, generator: torch.Generator) -> Tensor:
        """Return the box of a view in each image of the given sizes: int64 [images, 4], on the CPU."""
        draws = torch.rand(crops.DRAWS, len(height), generator=generator)
        return crops.random_boxes(draws, height, width, self.crop)

    def recoloured(self, views: Tensor, generator: torch.Generator) -> Tensor:
        """Return views with jitter, grey and blur.

        Parameters
        ----------
        views : Tensor [views, 3, height, width]
            In [0, 1]; changed in place.
        generator : torch.Generator
            On the CPU.
        """
        count = len(views)
        chances, factors = torch.rand(3, count, generator=generator), torch.rand(4, count, generator=generator)
        order = torch.rand(OPERATIONS, count, generator=generator).argsort(dim=0)
        sigma = LEAST_SIGMA + (LARGEST_SIGMA - LEAST_SIGMA) * torch.rand(count, generator=generator)
        self._jitter(views, chances[0] < self.jittered, order, 2 * factors - 1)
        _some(views, chances[1] < self.grey, lambda some, _: _grey(some).expand_as(some))
        if self.blurred:
            blurred = chances[2] < self.blurred
            _some(views, blurred, lambda some, chosen: blur(some, sigma[chosen].to(some.device), self.kernel))
        return views

    def _jitter(self, views: Tensor, chosen: Tensor, order: Tensor, draws: Tensor) -> None:
        """Apply the four operations to the chosen views, to each in its own order: [4, views]."""
        least = max(0.0, 1 - self.jitter)
        factors = (least + (draws[:3] + 1) / 2 * (1 + self.jitter - least)).to(views.device)
        turns = (self.hue * draws[3]).to(views.device)
        operations: list[Callable[[Tensor, Tensor], Tensor]] = [
            lambda some, at: brighten(some, factors[0, at]),
            lambda some, at: contrast(some, factors[1, at]),
            lambda some, at: saturate(some, factors[2, at]),
            lambda some, at: turn_hue(some, turns[at]),
        ]
        for place in order:
            for number, operation in enumerate(operations):
                if (number < 3 and self.jitter) or (number == 3 and self.hue):
                    _some(views, chosen & (place == number), operation)


def _some(views: Tensor, chosen: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Replace the chosen views by what the operation makes of them and of their numbers."""
    numbers = chosen.nonzero().squeeze(1)
    if len(numbers):
        numbers = numbers.to(views.device)
        views[numbers] = operation(views[numbers], numbers)


def _grey(views: Tensor) -> Tensor:
    """Return the lightness: [views, 1, height, width]."""
    red, green, blue = views.unbind(dim=1)
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).unsqueeze(1)


def _blended(views: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return ``factor * views + (1 - factor) * other``, in [0, 1]."""
    share = factor[:, None, None, None]
    return (views * share).add_(other * (1 - share)).clamp_(0.0, 1.0)


def brighten(views: Tensor, factor: Tensor) -> Tensor:
    """Multiply by a factor a view: [views]."""
    return (views * factor[:, None, None, None]).clamp_(0.0, 1.0)


def contrast(views: Tensor, factor: Tensor) -> Tensor:
    """Multiply what differs from the mean lightness by a factor a view: [views]."""
    return _blended(views, _grey(views).mean(dim=(1, 2, 3), keepdim=True), factor)


def saturate(views: Tensor, factor: Tensor) -> Tensor:
    """Multiply what differs from the lightness by a factor a view: [views]."""
    return _blended(views, _grey(views), factor)


def turn_hue(views: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the circle a view: [views].

    By the closed form of HSV to RGB: a channel is ``max - (max - min) clamp(min(k, 4 - k), 0, 1)`` with
    ``k = (n + 6 hue) mod 6`` and n = 5, 3, 1 for red, green, blue.
    """
    red, green, blue = views.unbind(dim=1)
    least, largest = torch.aminmax(views, dim=1)
    span = largest - least
    divisor = torch.where(span == 0, 1.0, span)
    sixths = torch.where(largest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    sixths = torch.where(largest == red, (green - blue) / divisor, sixths) + 6 * turn[:, None, None]
    channels = []
    for shift in (5, 3, 1):
        k = (sixths + shift).remainder_(6)
        channels.append(largest - span * torch.minimum(k, 4 - k).clamp_(0.0, 1.0))
    return torch.stack(channels, dim=1)


def blur(views: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Blur by a Gaussian of a standard deviation in pixels a view, [views]; edges are mirrored.

    Parameters
    ----------
    views : Tensor [views, channels, side, side]
    sigma : Tensor [views]
    kernel : int
        Width, odd; its half is less than the side.
    """
    side, half = views.shape[-1], kernel // 2
    offsets = torch.arange(-half, half + 1, device=views.device)
    weights = (-0.5 * (offsets / sigma[:, None]).square()).softmax(dim=1)
    places = (torch.arange(side, device=views.device)[:, None] + offsets).abs()
    places = torch.where(places < side, places, 2 * (side - 1) - places)
    one_hot = torch.nn.functional.one_hot(places, side).to(views.dtype)  # [side, kernel, side]
    matrices = torch.einsum("vk,skt->vst", weights, one_hot)
    return crops.separable(views, matrices, matrices)
