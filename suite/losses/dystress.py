"""DySTreSS: a temperature that depends on the cosine."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from suite.losses.base import LogitLoss, cross_entropy, log_odds
from suite.losses.exponentials import Exponential, of_half_cosine
from suite.pairs import Pairs
from suite.parameters import Positive


class DySTreSS(LogitLoss):
    """Cross-entropy over s / tau(s), tau(s) = tau_min + (tau_max - tau_min)(1 + cos(pi (1 + s))) / 2.

    Manna et al. 2023, arXiv 2308.01140, in the forms of the authors' code. In the NT-Xent form tau is tau_max at
    s = +-1 and tau_min at s = 0, is taken from the detached cosine, and scales positives and negatives alike.

    Parameters
    ----------
    tau_min, tau_max : float
        Smallest and largest temperature. The authors use 0.07 and 0.2 on CIFAR, 0.1 and 0.2 on ImageNet, 0.04 and 0.05
        (shifted) for sentences.
    form : "nt_xent" or "dcl"
        The decoupled form leaves the positive out of the denominator and, as the authors' code does, lets the gradient
        through tau. Their code adds two log-sum-exps, one a view; here it is one over all negatives, as in DCL.
    shape : "cosine" or "shifted"
        The shifted shape of the authors' SimCSE code: tau_min at s = -0.3, tau_max from s = 0.4 on and at -1.

    Raises
    ------
    ValueError
        If tau_min exceeds tau_max.
    """

    equation = (
        r"-\log \frac{e^{s_+/\tau(s_+)}}{\sum_j e^{s_j/\tau(s_j)}},\ "
        r"\tau(s) = \tau_{\min} + \tfrac{1}{2}(\tau_{\max} - \tau_{\min})(1 + \cos \pi(1 + \mathrm{sg}[s]))"
    )
    source = "Manna et al. 2023, arXiv 2308.01140; stop-gradients and the other forms as in the authors' code"

    def __init__(
        self,
        tau_min: Positive = 0.07,
        tau_max: Positive = 0.2,
        form: Literal["nt_xent", "dcl"] = "nt_xent",
        shape: Literal["cosine", "shifted"] = "cosine",
    ) -> None:
        super().__init__()
        if tau_min > tau_max:
            raise ValueError(f"tau_min must not exceed tau_max, got {tau_min} and {tau_max}")
        self.tau_min = tau_min
        self.tau_max = tau_max
        self.form = form
        self.shape = shape

    def temperature(self, similarity: Tensor) -> Tensor:
        """Return tau(s), elementwise."""
        half = 0.5 * (self.tau_max - self.tau_min)
        if self.shape == "cosine":
            return self.tau_min + half * (1.0 + (math.pi * (1.0 + similarity)).cos())
        falling = self.tau_min + half * (1.0 + (math.pi * (similarity - 0.4) / 0.7).cos())
        return torch.where(similarity > 0.4, self.tau_max, falling)

    def logits(self, similarity: Tensor) -> Tensor:
        """Return s / tau(s), tau detached in the NT-Xent form."""
        return similarity / self.temperature(similarity if self.form == "dcl" else similarity.detach())

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the cross-entropy or, in the decoupled form, the log-odds against each anchor's positive."""
        return (log_odds if self.form == "dcl" else cross_entropy)(self.mapped(pairs), pairs.roles)

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau(s)), unless it would overflow, in the NT-Xent form and with the cosine's shape."""
        if self.form != "nt_xent" or self.shape != "cosine":
            return None
        # 1 + cos(pi (1 + s)) = 2 sin^2(pi s / 2)
        return of_half_cosine(self.tau_min, self.tau_max, math.pi / 2, 0.0, dtype)
