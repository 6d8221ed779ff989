"""The temperature-free loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from suite.losses.base import LogitLoss
from suite.losses.exponentials import Exponential, of_odds
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

    equation = r"-\log \frac{e^{a\,\mathrm{artanh}\,s_+}}{\sum_j e^{a\,\mathrm{artanh}\,s_j}},\ a = 2"
    source = "Kim & Kim 2025, arXiv 2501.17683, abstract; the clamp is ours"

    def __init__(self, scale: Positive = 2.0, eps: Small = 9.5367431640625e-07) -> None:
        super().__init__()
        self.scale = scale
        self.eps = eps

    def logits(self, similarity: Tensor) -> Tensor:
        """Return scale artanh(s), s clamped to +-(1 - eps)."""
        limit = 1.0 - self.eps
        clamped: Tensor = _Artanh.apply(similarity.clamp(-limit, limit))
        return self.scale * clamped

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return the odds (1 + s) / (1 - s), which need no transcendental function; at other scales None."""
        return of_odds(self.eps) if self.scale == 2.0 else None

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the fraction of candidates beyond the clamp, which the loss no longer moves."""
        clamped = candidates = 0
        for block in pairs.blocks():
            clamped += int(((block.similarity.abs() >= 1.0 - self.eps) & block.candidate).sum())
            candidates += int(block.candidate.sum())
        return {"clamped_fraction": clamped / max(1, candidates)}


class _Artanh(torch.autograd.Function):
    """artanh(s) with the slope 1 / ((1 - s)(1 + s)): torch's 1 / (1 - s^2) cancels near +-1, by 1e-4 in float32."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor) -> Tensor:
        ctx.save_for_backward(similarity)
        return similarity.atanh()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (similarity,) = ctx.saved_tensors
        slope: Tensor = gradient / ((1.0 - similarity) * (1.0 + similarity))
        return slope
