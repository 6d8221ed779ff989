"""Embeddings as constructors of pairs take them: checked, and brought to unit length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from suite.pairs.gather import rank


def normalise(embedding: Tensor) -> Tensor:
    """Rows of unit length, in float32 or wider, whatever the scale that their floats can hold; a zero row stays zero.

    The gradient is that of the direction: rows a hundred times longer get one a hundred times smaller. A row of zeros
    has no direction and gets a gradient of zero, and so does a row whose entries all lie below the largest float of its
    type to the power -0.8 (1e-31 in float32 and bfloat16, 1e-4 in float16), where it would overflow.

    Parameters
    ----------
    embedding : Tensor [rows, dimensions]
        Of any floating type.
    """
    wide = embedding if embedding.dtype == torch.float64 else embedding.float()
    with torch.no_grad():
        largest = wide.abs().amax(dim=1, keepdim=True)
        # by a power of two, which rounds nothing: squares neither overflow nor vanish
        factor = 4.0 * torch.frexp(largest).mantissa / largest
        factor.masked_fill_(largest < torch.finfo(embedding.dtype).max ** -0.8, 0.0)
    return functional.normalize(wide * factor, dim=1, eps=0.5)


def sample_numbers(first: Tensor, second: Tensor, what: str, index: Tensor | None) -> Tensor:
    """Return the samples' numbers, 0 ... N-1 over all processes when not given.

    Parameters
    ----------
    first, second : Tensor [N, D]
    what : str
        What they are, for messages.
    index : Tensor [N], int64, optional

    Raises
    ------
    ValueError
        If anything has not the shape, the type or the device that it should have.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"{what} of one shape [N, D] expected, got {tuple(first.shape)} and {tuple(second.shape)}")
    if not first.numel():
        raise ValueError(f"{what} of at least one row and one dimension expected, got shape {tuple(first.shape)}")
    check_types(what, first, second)
    if index is None:
        return torch.arange(len(first), device=first.device) + rank() * len(first)
    if index.shape != first.shape[:1]:
        raise ValueError(f"an index of shape [{len(first)}] expected, got {tuple(index.shape)}")
    if index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(f"an index of integers expected, the samples' numbers, got {index.dtype}")
    return index


def check_types(what: str, *embeddings: Tensor) -> None:
    """Raise ValueError if embeddings are no floats, or of several precisions or devices."""
    types = [str(z.dtype).removeprefix("torch.") for z in embeddings]
    if not all(z.is_floating_point() for z in embeddings):
        raise ValueError(f"{what} of a floating type expected, got {' and '.join(types)}")
    if len({z.dtype == torch.float64 for z in embeddings}) > 1:
        raise ValueError(
            f"{what} of one precision expected, got {' and '.join(types)}: convert those that should not be float64, "
            "by .float()"
        )
    devices = [str(z.device) for z in embeddings]
    if len(set(devices)) > 1:
        raise ValueError(f"{what} on one device expected, got {' and '.join(devices)}")
