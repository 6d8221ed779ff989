"""Random resized crops of a batch, by matrix products: each image its own box, all at once.

Resizing is separable and linear: a view is ``rows @ image @ columns.T``, with a triangle filter in each row of both
matrices. So boxes of any size need no loop, and a mirror image costs nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ATTEMPTS = 10
DRAWS = 2 * ATTEMPTS + 2
LEAST_RATIO = 3 / 4


def random_boxes(draws: Tensor, height: Tensor, width: Tensor, least_area: float) -> Tensor:
    """Return a box in each image, as torchvision's ``RandomResizedCrop`` draws it.

    The share of the area is uniform from `least_area` to 1, the ratio of the sides log-uniform from 3/4 to 4/3. The
    first of ten attempts that fits is taken, else the whole image, or its middle where it is narrower than that.

    Parameters
    ----------
    draws : Tensor [DRAWS, images], float32
        Uniform in [0, 1); on the CPU.
    height, width : Tensor [images], int64
        Of the images.
    least_area : float

    Returns
    -------
    Tensor [images, 4], int64
        Top, left, height, width.
    """
    area = (least_area + (1 - least_area) * draws[:ATTEMPTS].double()) * height * width
    ratio = (math.log(LEAST_RATIO) * (1 - 2 * draws[ATTEMPTS : 2 * ATTEMPTS].double())).exp()
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.int().argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    whole_height = torch.minimum(height, (width / LEAST_RATIO).round().long())
    whole_width = torch.minimum(width, (height / LEAST_RATIO).round().long())
    box_height = torch.where(found, heights.gather(0, first)[0], whole_height)
    box_width = torch.where(found, widths.gather(0, first)[0], whole_width)
    room = height - box_height, width - box_width
    top, left = (
        torch.where(found, (draw * (space + 1)).long().clamp(max=space), space // 2)
        for draw, space in zip(draws[2 * ATTEMPTS :].double(), room, strict=True)
    )
    return torch.stack([top, left, box_height, box_width], dim=1)


def resized(images: Tensor, boxes: Tensor, size: int, mirrored: Tensor | None = None) -> Tensor:
    """Return the boxes of images, resized to squares.

    Bilinear with antialiasing, as ``torchvision.transforms.v2.functional.resized_crop`` does it on floats.

    Parameters
    ----------
    images : Tensor [images, channels, height, width], float
    boxes : Tensor [images, 4], int64
        Top, left, height, width.
    size : int
        Side of the squares.
    mirrored : Tensor [images], bool, optional
        Which to mirror.
    """
    top, left, height, width = boxes.to(images.device).unbind(dim=1)
    rows = _filters(top, height, images.shape[2], size)
    columns = _filters(left, width, images.shape[3], size)
    if mirrored is not None:
        columns = torch.where(mirrored.to(images.device)[:, None, None], columns.flip(1), columns)
    return separable(images, rows, columns)


def separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return ``rows @ image @ columns.T`` for each channel of each image.

    Parameters
    ----------
    images : Tensor [images, channels, height, width]
    rows : Tensor [images, new height, height]
    columns : Tensor [images, new width, width]
    """
    count, channels, height, width = images.shape
    narrowed = images.reshape(count, channels * height, width) @ columns.transpose(1, 2)
    return rows.unsqueeze(1) @ narrowed.reshape(count, channels, height, -1)


def _filters(start: Tensor, length: Tensor, full: int, size: int) -> Tensor:
    """Return what each pixel of a resized line takes of the whole line: [images, size, full], rows that sum to 1."""
    scale = (length / size).unsqueeze(1)
    centre = scale * (torch.arange(size, device=start.device) + 0.5)
    place = torch.arange(full, device=start.device) - start.unsqueeze(1)
    distance = (place.unsqueeze(1) + 0.5 - centre.unsqueeze(2)).abs_() / scale.clamp(min=1.0).unsqueeze(2)
    inside = (place >= 0) & (place < length.unsqueeze(1))
    weights = (1 - distance).clamp_(min=0.0) * inside.unsqueeze(1)
    return weights / weights.sum(dim=2, keepdim=True)
