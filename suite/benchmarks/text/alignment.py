"""MABEL's term that keeps similarities among counterfactuals as they are among originals."""

from __future__ import annotations

from typing import Final

from torch import Tensor
from torch.nn import functional

from suite.pairs.gather import gathered

#: The term is on cosines over this, whatever the loss makes of them.
ALIGNMENT_TEMPERATURE: Final = 0.05


def alignment_term(first: Tensor, second: Tensor) -> Tensor:
    """Return MABEL's alignment loss: how much similarities differ between originals and counterfactuals.

    He et al. 2022, arXiv 2210.14975: the mean over rows of the squared distance between the matrices of cosines over
    0.05 among originals and among their counterfactuals, as in the authors' code. Here a matrix sets first views
    against second ones, there premises against hypotheses.

    Parameters
    ----------
    first, second : Tensor [2 N, D]
        Two views; N originals, then their counterfactuals in the same order. Those of all processes are gathered.
    """
    (first_original, first_other), (second_original, second_other) = (
        map(gathered, functional.normalize(view, dim=1).chunk(2)) for view in (first, second)
    )
    difference = (first_original @ second_original.T - first_other @ second_other.T) / ALIGNMENT_TEMPERATURE
    return difference.square().sum(dim=1).mean()
