"""An encoder that keeps places apart: filters, contrast normalisation, rectification, pooling, and a residual layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 2
POOLED = 2
#: Where contrast counts as none, in squared filter responses; keeps what is blank blank.
CONTRAST_FLOOR = 0.03


class Encoder(nn.Module):
    """One stage of Jarrett et al. 2009 ("What is the best multi-stage architecture for object recognition?", ICCV).

    Filters, division by the contrast at each place, rectification, and averages over 4 x 4 pixels; here both signs of a
    response are kept (Shang et al. 2016, arXiv 1603.05201), and the division takes one place, not its surroundings. On
    top lies a residual convolution that starts at zero, so that an encoder begins as its filters make it. Nothing is
    averaged over the whole image: images of one kind of clothing differ from others where they lie.

    Parameters
    ----------
    filters : Tensor [filters, 1, size, size]
        Of odd size; copied.

    Attributes
    ----------
    filters : Parameter [filters, 1, size, size]
    residual : Parameter [2 filters, 2 filters, 3, 3]
    """

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        self.filters = nn.Parameter(filters.clone())
        self.residual = nn.Parameter(torch.zeros(2 * len(filters), 2 * len(filters), 3, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images: [images, 1, height, width] -> [images, 2 filters, height / 4, width / 4]."""
        responses = functional.conv2d(images, self.filters, stride=STRIDE, padding=self.filters.shape[-1] // 2)
        responses = responses * (responses.square().sum(dim=1, keepdim=True) + CONTRAST_FLOOR).rsqrt()
        both_signs = [functional.avg_pool2d(functional.relu(each), POOLED) for each in (responses, -responses)]
        pooled = torch.cat(both_signs, dim=1)
        return (pooled + functional.conv2d(pooled, self.residual, padding=1)).flatten(1)
