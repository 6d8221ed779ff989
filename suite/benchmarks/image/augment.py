"""Random views of a batch of images, by tensor operations on the whole batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

DRAWS = 7


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop, horizontal flip, contrast and brightness jitter.

    The operations of SimCLR (Chen et al. 2020, appendix A) that apply to small grey images. Draws come from a
    generator on the CPU, whatever the images' device.

    Parameters
    ----------
    crop : float
        Smallest share of the area that a crop keeps; 1 keeps all.
    aspect : float
        Largest factor by which a crop's sides are stretched against each other; 1 keeps their ratio.
    flip : float
        Probability of a mirror image.
    jitter : float
        Contrast and brightness are each multiplied by a factor from ``[1 - jitter, 1 + jitter]``.
    """

    crop: float = 1.0
    aspect: float = 1.0
    flip: float = 0.0
    jitter: float = 0.0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return one view of each image.

        Parameters
        ----------
        images : Tensor [images, channels, height, width]
            In [0, 1]; so are the views.
        generator : torch.Generator
            On the CPU. A view depends on its image, the generator's state, the image's place in the batch and its size.
        """
        draws = torch.rand(DRAWS, len(images), generator=generator).to(images.device)
        return self._jitter(self._crop(images, draws[:5]), draws[5:])

    def _crop(self, images: Tensor, draws: Tensor) -> Tensor:
        area = 1 - (1 - self.crop) * draws[0]
        stretch = ((2 * draws[1] - 1) * math.log(self.aspect) / 2).exp()
        width = (area.sqrt() * stretch).clamp(max=1.0)
        height = (area.sqrt() / stretch).clamp(max=1.0)
        sign = 1 - 2 * (draws[2] < self.flip).float()
        affine = images.new_zeros(len(images), 2, 3)
        affine[:, 0, 0] = width * sign
        affine[:, 0, 2] = (2 * draws[3] - 1) * (1 - width)
        affine[:, 1, 1] = height
        affine[:, 1, 2] = (2 * draws[4] - 1) * (1 - height)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _jitter(self, images: Tensor, draws: Tensor) -> Tensor:
        contrast, brightness = (1 + self.jitter * (2 * draws - 1)).reshape(2, -1, 1, 1, 1)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        views: Tensor = ((images - mean) * contrast + mean) * brightness
        return views.clamp(0.0, 1.0)
