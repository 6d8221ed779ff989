"""Crop, mask and reorder of item sequences, in batches.

Xie et al. 2022, "Contrastive Learning for Sequential Recommendation" (CL4SRec), arXiv 2010.14395. Sequences are padded
at their end; padding stays where it is. All draws come from the generator given, on its device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from suite.benchmarks.recommendation.data import PADDING


def crop(sequence: Tensor, length: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Keep one random run of ``max(1, floor(share * length))`` items, moved to the front.

    Parameters
    ----------
    sequence : Tensor [N, L], int64
    length : Tensor [N], int64
    share : float
        CL4SRec's eta.
    generator : torch.Generator

    Returns
    -------
    tuple of Tensor [N, L] and Tensor [N]
        The cropped sequences and their lengths.
    """
    kept = _portion(length, share).clamp(min=1).minimum(length)
    index = _start(length, kept, generator)[:, None] + _positions(sequence)
    inside = _positions(sequence) < kept[:, None]
    return sequence.gather(1, index.where(inside, 0)).where(inside, PADDING), kept


def mask(sequence: Tensor, length: Tensor, share: float, token: int, generator: torch.Generator) -> Tensor:
    """Replace ``floor(share * length)`` random items by `token`; CL4SRec's gamma is the share.

    Parameters
    ----------
    sequence : Tensor [N, L], int64
    length : Tensor [N], int64
    share : float
    token : int
    generator : torch.Generator
    """
    draw = _uniform(sequence.shape, generator).masked_fill(_positions(sequence) >= length[:, None], torch.inf)
    rank = draw.argsort(dim=1, stable=True).argsort(dim=1)
    return sequence.masked_fill(rank < _portion(length, share)[:, None], token)


def reorder(sequence: Tensor, length: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Shuffle one random run of ``floor(share * length)`` items; CL4SRec's beta is the share.

    Parameters
    ----------
    sequence : Tensor [N, L], int64
    length : Tensor [N], int64
    share : float
    generator : torch.Generator
    """
    moved = _portion(length, share)[:, None]
    start = _start(length, moved[:, 0], generator)[:, None]
    position = _positions(sequence)
    inside = (position >= start) & (position < start + moved)
    # Every key of the run lies in [start, start + moved), so that the run keeps its place among the others.
    key = (start + _uniform(sequence.shape, generator) * moved).where(inside, position.double())
    return sequence.gather(1, key.argsort(dim=1, stable=True))


@dataclass(frozen=True)
class Augmentation:
    """One of crop, mask and reorder for every sequence, each with the same probability.

    Attributes
    ----------
    crop, mask, reorder : float
        The share of a sequence that each of them keeps, replaces, shuffles: eta, gamma, beta.
    token : int
        What masked items become.
    """

    crop: float
    mask: float
    reorder: float
    token: int

    def __call__(self, sequence: Tensor, length: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an augmented view of every sequence and its length.

        Parameters
        ----------
        sequence : Tensor [N, L], int64
        length : Tensor [N], int64
        generator : torch.Generator
        """
        which = torch.randint(3, length.shape, generator=generator, device=generator.device)
        cropped, shorter = crop(sequence, length, self.crop, generator)
        masked = mask(sequence, length, self.mask, self.token, generator)
        reordered = reorder(sequence, length, self.reorder, generator)
        view = torch.stack([cropped, masked, reordered])[which, torch.arange(len(which), device=which.device)]
        return view, torch.where(which == 0, shorter, length)


def _portion(length: Tensor, share: float) -> Tensor:
    # In double: 0.6 * 5 must not become 2 by rounding in single precision.
    return (length.double() * share + 1e-9).floor().long()


def _start(length: Tensor, kept: Tensor, generator: torch.Generator) -> Tensor:
    return (_uniform(length.shape, generator) * (length - kept + 1)).long()


def _uniform(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator, device=generator.device)


def _positions(sequence: Tensor) -> Tensor:
    return torch.arange(sequence.shape[1], device=sequence.device)
