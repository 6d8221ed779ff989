"""InfoNCE with a fixed temperature."""

from __future__ import annotations

from torch import Tensor

from suite.losses.base import LogitLoss
from suite.parameters import Positive


class InfoNCE(LogitLoss):
    """Cross-entropy over s / tau (NT-Xent; Chen et al. 2020, arXiv 2002.05709, eq. 1).

    Parameters
    ----------
    temperature : float
        tau > 0. The logits span 2 / tau.
    """

    def __init__(self, temperature: Positive) -> None:
        super().__init__()
        self.temperature = temperature

    def logits(self, similarity: Tensor) -> Tensor:
        """Return s / tau."""
        return similarity / self.temperature
