"""PPS: a temperature that the positives set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from suite.losses.base import AnchorLoss, cross_entropy
from suite.losses.exponentials import Exponential, of_temperature
from suite.pairs import Pairs
from suite.parameters import Positive


class PPS(AnchorLoss):
    """Cross-entropy over s / tau, tau = 2 - 2 A, A the mean cosine of the batch's positives: nothing to tune.

    That tau is the mean squared distance of the positives (positive-pair-scaled temperature). Whether the authors let
    the gradient through it could not be confirmed; here it is detached.

    Parameters
    ----------
    least : float
        The temperature where all positives coincide, which would make it 0; ours.
    """

    equation = r"-\log \frac{e^{s_+/\tau}}{\sum_j e^{s_j/\tau}},\ \tau = \max(\mathrm{sg}[2 - 2 \bar s_+], \tau_{\min})"
    source = "positive-pair-scaled temperature, as its authors describe it; the stop-gradient and the bound are ours"

    def __init__(self, least: Positive = 1e-3) -> None:
        super().__init__()
        self.least = least

    def shared(self, pairs: Pairs) -> Any:
        """Return the batch's temperature."""
        counted = (pairs.roles.positives() > 0).double()
        alignment = pairs.positive_similarity().double() @ counted / counted.sum().clamp(min=1.0)
        return (2.0 - 2.0 * alignment).clamp(min=self.least)

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the cross-entropy of each anchor's positives."""
        return cross_entropy(pairs.similarity / shared.to(pairs.similarity.dtype), pairs.roles)

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau), unless it would overflow."""
        return of_temperature(float(shared), dtype)

    def of_sums(self, log_negatives: Tensor, positive: Tensor, shared: Any) -> Tensor:
        """Return the cross-entropy of each anchor's positive, from the log-odds against it."""
        against = log_negatives - positive / shared.to(positive.dtype)
        return torch.logaddexp(against, torch.zeros_like(against))

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the batch's temperature."""
        return {"temperature": float(self.shared(pairs))}
