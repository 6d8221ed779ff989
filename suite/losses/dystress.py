"""DySTreSS: a temperature that depends on the cosine."""

from __future__ import annotations

import math

from torch import Tensor

from suite.losses.base import LogitLoss
from suite.parameters import Positive


class DySTreSS(LogitLoss):
    """Cross-entropy over s / tau(s), tau(s) = tau_min + (tau_max - tau_min)(1 + cos(pi (1 + s))) / 2.

    Manna et al. 2023, arXiv 2308.01140, in the NT-Xent form of the authors' code: tau is tau_max at s = +-1 and tau_min
    at s = 0, is taken from the detached cosine, and scales positives and negatives alike.

    Parameters
    ----------
    tau_min, tau_max : float
        Smallest and largest temperature. The authors use 0.07 and 0.2 on CIFAR, 0.1 and 0.2 on ImageNet.

    Raises
    ------
    ValueError
        If tau_min exceeds tau_max.
    """

    def __init__(self, tau_min: Positive = 0.07, tau_max: Positive = 0.2) -> None:
        super().__init__()
        if tau_min > tau_max:
            raise ValueError(f"tau_min must not exceed tau_max, got {tau_min} and {tau_max}")
        self.tau_min = tau_min
        self.tau_max = tau_max

    def temperature(self, similarity: Tensor) -> Tensor:
        """Return tau(s), elementwise."""
        return self.tau_min + 0.5 * (self.tau_max - self.tau_min) * (1.0 + (math.pi * (1.0 + similarity)).cos())

    def logits(self, similarity: Tensor) -> Tensor:
        """Return s / tau(sg[s])."""
        return similarity / self.temperature(similarity.detach())
