"""A temperature that rises with the cosine: the control for DySTreSS."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from suite.losses.base import LogitLoss
from suite.losses.exponentials import Exponential, of_half_cosine
from suite.parameters import Positive


class MonotoneTemperature(LogitLoss):
    """Cross-entropy over s / tau(s), tau(s) = tau_min + (tau_max - tau_min)(1 - cos(pi (1 + s) / 2)) / 2.

    The control that the reviewers of DySTreSS asked for: the same range and the same half-cosine, taken from the
    detached cosine likewise, but rising all the way from tau_min at s = -1 to tau_max at s = 1.

    Parameters
    ----------
    tau_min, tau_max : float
        Smallest and largest temperature; DySTreSS's on CIFAR by default.

    Raises
    ------
    ValueError
        If tau_min exceeds tau_max.
    """

    equation = (
        r"-\log \frac{e^{s_+/\tau(s_+)}}{\sum_j e^{s_j/\tau(s_j)}},\ "
        r"\tau(s) = \tau_{\min} + \tfrac{1}{2}(\tau_{\max} - \tau_{\min})(1 - \cos \tfrac{\pi}{2}(1 + \mathrm{sg}[s]))"
    )
    source = "control, asked for by reviewers of Manna et al. (openreview.net/forum?id=lgA84TbHxm)"

    def __init__(self, tau_min: Positive = 0.07, tau_max: Positive = 0.2) -> None:
        super().__init__()
        if tau_min > tau_max:
            raise ValueError(f"tau_min must not exceed tau_max, got {tau_min} and {tau_max}")
        self.tau_min = tau_min
        self.tau_max = tau_max

    def temperature(self, similarity: Tensor) -> Tensor:
        """Return tau(s), elementwise."""
        return self.tau_min + 0.5 * (self.tau_max - self.tau_min) * (1.0 - (0.5 * math.pi * (1.0 + similarity)).cos())

    def logits(self, similarity: Tensor) -> Tensor:
        """Return s / tau(sg[s])."""
        return similarity / self.temperature(similarity.detach())

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau(s)), unless it would overflow."""
        # 1 - cos(pi (1 + s) / 2) = 2 sin^2(pi (1 + s) / 4)
        return of_half_cosine(self.tau_min, self.tau_max, math.pi / 4, math.pi / 4, dtype)
