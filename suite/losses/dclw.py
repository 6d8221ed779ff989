"""DCLW: DCL with positives weighted by how far apart they are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from suite.losses.base import AnchorLoss, log_odds
from suite.losses.exponentials import Exponential, of_temperature
from suite.pairs import Pairs
from suite.parameters import Positive


class DCLW(AnchorLoss):
    """DCL whose positive term is weighted by 2 - N softmax_i(s_+ / sigma) over the anchors, detached.

    Yeh et al. 2022, arXiv 2110.06848, section 3.2 (negative von Mises-Fisher weighting), the weight detached as in
    lightly.

    Parameters
    ----------
    temperature : float
        tau.
    sigma : float
        Concentration of the weights.
    """

    equation = (
        r"-w_i \frac{s_+}{\tau} + \log \sum_{j \neq +} e^{s_j/\tau},\ "
        r"w_i = \mathrm{sg}\left[2 - \frac{e^{s_{+,i}/\sigma}}{\frac{1}{N} \sum_k e^{s_{+,k}/\sigma}}\right]"
    )
    source = "Yeh et al. 2022, arXiv 2110.06848, section 3.2; detached as in lightly"
    needs_one_positive = True

    def __init__(self, temperature: Positive = 0.1, sigma: Positive = 0.5) -> None:
        super().__init__()
        self.temperature = temperature
        self.sigma = sigma

    def shared(self, pairs: Pairs) -> Any:
        """Return the logarithm of the mean of e^(s_+ / sigma) over the anchors."""
        positive = pairs.positive_similarity() / self.sigma
        return positive.logsumexp(dim=0) - math.log(len(positive))

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the log-odds, the positive's share of them weighted."""
        logits = pairs.similarity / self.temperature
        return self._weighted(log_odds(logits, pairs.roles), pairs.roles.positive_mean(logits), shared)

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau), unless it would overflow."""
        return of_temperature(self.temperature, dtype)

    def of_sums(self, log_negatives: Tensor, positive: Tensor, shared: Any) -> Tensor:
        """Return the log-odds, the positive's share of them weighted."""
        logit = positive / self.temperature
        return self._weighted(log_negatives - logit, logit, shared)

    def _weighted(self, against: Tensor, positive: Tensor, shared: Any) -> Tensor:
        weight = 2.0 - (positive.detach() * self.temperature / self.sigma - shared).exp()
        terms: Tensor = against + (1.0 - weight) * positive
        return terms
