"""DHEL: negatives from the anchor's own view alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from suite.losses.base import NO_NEGATIVE, AnchorLoss
from suite.pairs import Pairs
from suite.parameters import Positive


class DHEL(AnchorLoss):
    """Decoupled hyperspherical energy loss: each view is spread by itself (Koromilas et al. 2024, arXiv 2405.18045).

    A sample of views a and p costs -s(a, p) / tau + log sum_j e^(s(a, a_j) / tau) + log sum_j e^(s(p, p_j) / tau). Here
    each of its two anchors costs twice its own logarithm minus s / tau, so that the mean over anchors is the authors'
    mean over samples.

    Parameters
    ----------
    temperature : float
        tau; the authors' by default.
    """

    equation = r"-\frac{s_+}{\tau} + 2 \log \sum_{j \neq +,\ \text{own view}} e^{s_j/\tau}"
    source = "Koromilas et al. 2024, arXiv 2405.18045, and the authors' code, losses.py"
    needs = "two views that are pooled (two_view)"
    needs_one_positive = True
    needs_views = True

    def __init__(self, temperature: Positive = 0.3) -> None:
        super().__init__()
        self.temperature = temperature

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return twice the log-energy of each anchor's own view, minus the positive's logit."""
        logits = pairs.similarity / self.temperature
        energy = pairs.roles.only_own_view(logits, -torch.inf).logsumexp(dim=1)
        if bool(energy.isinf().any()):
            raise ValueError(NO_NEGATIVE)
        return 2.0 * energy - pairs.roles.positive_mean(logits)
