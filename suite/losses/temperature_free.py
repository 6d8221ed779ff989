"""The temperature-free loss."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from suite.losses.base import LogitLoss
from suite.pairs import Pairs
from suite.parameters import Positive, Small


class TemperatureFree(LogitLoss):
    """Cross-entropy over 2 artanh(s) = log((1 + s) / (1 - s)) (Kim & Kim 2025, arXiv 2501.17683).

    Near s = 0 the map has slope 2: InfoNCE at temperature 0.5. How the paper bounds the map at s = +-1 could not be
    confirmed; here s is clamped to +-(1 - eps), where the gradient is zero, and the clamped fraction is logged.

    Parameters
    ----------
    scale : float
        Factor in front of artanh. The paper's loss is 2; other values are an ablation.
    eps : float
        Distance of the clamp from +-1; 2^-20 by default, so that 1 - eps is the same number in float32 and float64
        (below 6e-8 it would round to 1). The largest logit is ``scale / 2 * log((2 - eps) / eps)``: 14.6.
    """

    def __init__(self, scale: Positive = 2.0, eps: Small = 9.5367431640625e-07) -> None:
        super().__init__()
        self.scale = scale
        self.eps = eps

    def logits(self, similarity: Tensor) -> Tensor:
        """Return scale artanh(s), s clamped to +-(1 - eps)."""
        limit = 1.0 - self.eps
        return self.scale * similarity.clamp(-limit, limit).atanh()

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the fraction of candidates beyond the clamp, which the loss no longer moves."""
        clamped = (pairs.similarity.abs() > 1.0 - self.eps) & pairs.candidate
        return {"clamped_fraction": float(clamped.sum() / pairs.candidate.sum().clamp(min=1))}
