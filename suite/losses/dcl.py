"""DCL: the positive leaves the denominator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from suite.losses.base import AnchorLoss, log_odds
from suite.losses.exponentials import Exponential, of_temperature
from suite.pairs import Pairs
from suite.parameters import Positive


class DCL(AnchorLoss):
    """Decoupled contrastive loss (Yeh et al. 2022, arXiv 2110.06848, eq. 6): InfoNCE without the positive below.

    Parameters
    ----------
    temperature : float
        tau; lightly's by default.
    """

    equation = r"-\frac{s_+}{\tau} + \log \sum_{j \neq +} e^{s_j/\tau}"
    source = "Yeh et al. 2022, arXiv 2110.06848, eq. 6"

    def __init__(self, temperature: Positive = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the log-odds against each anchor's positive."""
        return log_odds(pairs.similarity / self.temperature, pairs.roles)

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau), unless it would overflow."""
        return of_temperature(self.temperature, dtype)

    def of_sums(self, log_negatives: Tensor, positive: Tensor, shared: Any) -> Tensor:
        """Return the log-odds against each anchor's positive."""
        return log_negatives - positive / self.temperature
