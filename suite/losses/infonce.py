"""InfoNCE with a fixed temperature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from suite.losses.base import LogitLoss
from suite.losses.exponentials import Exponential, of_temperature
from suite.parameters import Positive


class InfoNCE(LogitLoss):
    """Cross-entropy over s / tau (van den Oord et al. 2018, arXiv 1807.03748, eq. 4).

    On two views it is NT-Xent (Chen et al. 2020, arXiv 2002.05709, eq. 1); with several positives, SupCon.

    Parameters
    ----------
    temperature : float
        tau > 0. The logits span 2 / tau.
    """

    equation = r"-\log \frac{e^{s_+/\tau}}{\sum_j e^{s_j/\tau}}"
    source = "van den Oord et al. 2018, arXiv 1807.03748, eq. 4; NT-Xent: Chen et al. 2020, arXiv 2002.05709, eq. 1"

    def __init__(self, temperature: Positive) -> None:
        super().__init__()
        self.temperature = temperature

    def logits(self, similarity: Tensor) -> Tensor:
        """Return s / tau."""
        return similarity / self.temperature

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau), unless it would overflow."""
        return of_temperature(self.temperature, dtype)
