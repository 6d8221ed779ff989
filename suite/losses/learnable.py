"""A temperature that is learnt with the encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from suite.losses.base import LogitLoss
from suite.pairs import Pairs
from suite.parameters import Positive

#: Bound of the logarithm of the scale, as in OpenCLIP: logits of at most 100.
LOG_SCALE_LIMIT = math.log(100.0)


class LearnableTemperature(LogitLoss):
    """Cross-entropy over e^t s with t learnt (CLIP, Radford et al. 2021, arXiv 2103.00020, section 2.3).

    t is kept in [0, log 100], as OpenCLIP does after each step, here before each forward pass; it is trained without
    weight decay.

    Parameters
    ----------
    temperature : float
        Where it starts: t = log(1 / temperature).

    Raises
    ------
    ValueError
        If the temperature is outside [0.01, 1], where t would be clamped at once.
    """

    equation = r"-\log \frac{e^{e^t s_+}}{\sum_j e^{e^t s_j}},\ t \in [0, \log 100]"
    source = "Radford et al. 2021, arXiv 2103.00020, section 2.3; the clamp: OpenCLIP's training loop"
    needs = "one parameter, t"

    def __init__(self, temperature: Positive = 0.07) -> None:
        super().__init__()
        if not 0.01 <= temperature <= 1.0:
            raise ValueError(f"temperature should lie in [0.01, 1], where the learnt one is kept, got {temperature}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean cross-entropy, the temperature brought back into its range first."""
        with torch.no_grad():
            self.log_scale.clamp_(0.0, LOG_SCALE_LIMIT)
        return super().forward(pairs)

    def logits(self, similarity: Tensor) -> Tensor:
        """Return e^t s."""
        return self.log_scale.exp() * similarity

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the temperature as it stands."""
        return {"temperature": math.exp(-self.log_scale.item())}

    def extra_repr(self) -> str:
        """Return the temperature as it stands."""
        return f"temperature={math.exp(-self.log_scale.item()):.4g}"
