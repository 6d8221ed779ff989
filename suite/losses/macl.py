"""MACL: a temperature that follows the alignment of the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from suite.losses.base import AnchorLoss, log_odds
from suite.losses.exponentials import Exponential, of_temperature
from suite.pairs import Pairs
from suite.parameters import Fraction, NonNegative, Positive


class MACL(AnchorLoss):
    """Model-aware contrastive loss (Huang et al. 2023, arXiv 2207.07874).

    tau = tau_0 (1 + alpha (A - A_0)) with A the mean cosine of the positives, detached, and each anchor's cross-entropy
    reweighted by 1 / (1 - P), P the positive's probability, detached. With u = -log P the value is u / (1 - e^-u), and
    the gradient is exactly that of the decoupled loss DCL at tau: both are computed so, without the quotient of two
    vanishing numbers.

    Parameters
    ----------
    temperature : float
        tau_0.
    alpha : float
        How far the temperature follows the alignment.
    threshold : float
        A_0, the alignment at which tau = tau_0. The defaults are lightly's; with SimCSE the authors use
        0.05, 2 and 0.8.

    Raises
    ------
    ValueError
        From forward, if alpha (A - A_0) <= -1 for the batch at hand: tau would not be positive.
    """

    equation = (
        r"-\mathrm{sg}\left[\frac{1}{1 - P}\right] \log P,\ P = \frac{e^{s_+/\tau}}{\sum_j e^{s_j/\tau}},\ "
        r"\tau = \tau_0 (1 + \alpha(\mathrm{sg}[\bar s_+] - A_0))"
    )
    source = "Huang et al. 2023, arXiv 2207.07874, and the authors' code"
    needs_one_positive = True

    def __init__(self, temperature: Positive = 0.1, alpha: NonNegative = 0.5, threshold: Fraction = 0.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.alpha = alpha
        self.threshold = threshold

    def shared(self, pairs: Pairs) -> Any:
        """Return the batch's temperature."""
        alignment = pairs.positive_similarity().mean()
        if self.alpha * (1.0 + self.threshold) >= 1.0 and self.alpha * (float(alignment) - self.threshold) <= -1.0:
            raise ValueError(
                f"alpha = {self.alpha:g} is too large for positives at a mean cosine of {float(alignment):.3g}: "
                f"the temperature would not be positive (threshold = {self.threshold:g})"
            )
        return self.temperature * (1.0 + self.alpha * (alignment - self.threshold))

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return u / (1 - e^-u) with the gradient of the log-odds."""
        return self._reweighted(log_odds(pairs.similarity / shared, pairs.roles))

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau), unless it would overflow."""
        return of_temperature(float(shared), dtype)

    def of_sums(self, log_negatives: Tensor, positive: Tensor, shared: Any) -> Tensor:
        """Return u / (1 - e^-u) with the gradient of the log-odds."""
        return self._reweighted(log_negatives - positive / shared)

    def _reweighted(self, against: Tensor) -> Tensor:
        surprise = torch.logaddexp(against.detach(), torch.zeros_like(against))
        # u / (1 - e^-u) -> 1 as u -> 0
        value = torch.where(surprise > 0, surprise / -torch.expm1(-surprise), 1.0)
        return value + (against - against.detach())
