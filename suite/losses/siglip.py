"""SigLIP: every pair on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.losses.base import AnchorLoss
from suite.pairs import Pairs
from suite.parameters import Positive


class SigLIP(AnchorLoss):
    """Sigmoid loss with a learnt scale and bias (Zhai et al. 2023, arXiv 2303.15343, eq. 1).

    For each anchor the sum over its candidates of -log sigmoid(z (e^t s + b)), z = 1 for a positive, -1 for a negative.
    As everywhere here, anchors without a positive do not count.

    Parameters
    ----------
    scale : float
        Where e^t starts.
    bias : float
        Where b starts.
    """

    equation = r"-\sum_j \log \sigma(z_j (e^t s_j + b)),\ z_+ = 1,\ z_j = -1"
    source = "Zhai et al. 2023, arXiv 2303.15343, eq. 1"
    needs = "two parameters, t and b"

    def __init__(self, scale: Positive = 10.0, bias: float = -10.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def logits(self, similarity: Tensor) -> Tensor:
        """Return e^t s + b."""
        return self.log_scale.exp() * similarity + self.bias

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return each anchor's sum over its positives and negatives."""
        logits = self.logits(pairs.similarity)
        # log sigmoid(l) = l + log sigmoid(-l): one pass over all, then the positives' own logits
        everyone = -pairs.roles.without_strangers(functional.logsigmoid(-logits), 0.0).sum(dim=1)
        return everyone - pairs.roles.positive_mean(logits) * pairs.roles.positives()

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return temperature and bias as they stand."""
        return {"temperature": math.exp(-self.log_scale.item()), "bias": self.bias.item()}

    def extra_repr(self) -> str:
        """Return scale and bias as they stand."""
        return f"scale={math.exp(self.log_scale.item()):.4g}, bias={self.bias.item():.4g}"
