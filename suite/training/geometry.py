"""How features lie on the sphere: what is logged over training, and shows a collapse before a score does."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.pairs.embeddings import normalise


def alignment(first: Tensor, second: Tensor) -> float:
    """Return the mean squared distance of positives: 0 at best, 2 for features at random.

    Wang & Isola 2020 (arXiv 2005.10242, eq. 2, exponent 2).

    Parameters
    ----------
    first, second : Tensor [N, D]
        Row i of both belong together; normalised here.
    """
    return float((normalise(first) - normalise(second)).square().sum(dim=1).mean())


def uniformity(features: Tensor) -> float:
    """Return log mean exp(-2 d^2) over all pairs of rows: 0 where all coincide, near -4 where they fill the sphere.

    Wang & Isola 2020 (arXiv 2005.10242, eq. 3, t = 2), without the pairs of a row and itself.

    Parameters
    ----------
    features : Tensor [N, D]
        At least two rows; normalised here.
    """
    distances = torch.nn.functional.pdist(normalise(features).double())
    return float(distances.square().mul(-2).exp().mean().log())


def tolerance(features: Tensor, labels: Tensor) -> float:
    """Return the mean cosine of pairs of different rows of one label: how much of a class stays together.

    Wang & Liu 2021 (arXiv 2012.09740, section 5.2).

    Parameters
    ----------
    features : Tensor [N, D]
        Normalised here.
    labels : Tensor [N], int64
        Some label at least twice.
    """
    rows = normalise(features).double()
    same = labels.unsqueeze(1) == labels
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return float((rows @ rows.T)[same & ~own].mean())


def effective_rank(features: Tensor) -> float:
    """Return the exponential of the entropy of the singular values' shares: between 1 (or none) and min(N, D).

    Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality" (EUSIPCO, eq. 4), of the rows after
    normalisation, not centred.

    Parameters
    ----------
    features : Tensor [N, D]
        Normalised here.
    """
    values = torch.linalg.svdvals(normalise(features).double())
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return float(torch.special.entr(shares).sum().exp())
