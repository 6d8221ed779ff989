"""e^logit and its slope, for losses that the fast path of two views knows how to compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: Largest logit whose exponential, its square root and sums over a million of them keep all digits without a shift.
LARGEST_LOGIT = {torch.float32: 60.0, torch.float64: 600.0}


@dataclass(frozen=True)
class Exponential:
    """A map from cosine s to e^logit, where no logit is so large that sums would need a shift by their maximum.

    Attributes
    ----------
    apply : callable (similarity, slope) -> Tensor
        Returns e^logit, elementwise, and writes its derivative with respect to s, divided by `factor`, into `slope`.
        All are of one shape; it may overwrite `similarity`, and return it or `slope`.
    factor : float
        What all slopes are to be multiplied by.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    factor: float


def of_temperature(temperature: float, dtype: torch.dtype) -> Exponential | None:
    """Return e^(s / temperature); None if it would overflow."""
    if temperature * LARGEST_LOGIT.get(dtype, 0.0) < 1.0:
        return None

    def apply(similarity: Tensor, slope: Tensor) -> Tensor:
        return torch.exp(similarity.div_(temperature), out=slope)

    return Exponential(apply, 1.0 / temperature)


def of_half_cosine(
    tau_min: float, tau_max: float, angle: float, phase: float, dtype: torch.dtype
) -> Exponential | None:
    """Return e^(s / tau(s)), tau(s) = tau_min + (tau_max - tau_min) sin^2(angle s + phase), detached.

    None if it would overflow.
    """
    if tau_min * LARGEST_LOGIT.get(dtype, 0.0) < 1.0:
        return None

    def apply(similarity: Tensor, slope: Tensor) -> Tensor:
        tau = torch.mul(similarity, angle, out=slope)
        if phase:
            tau.add_(phase)
        tau.sin_().square_().mul_(tau_max - tau_min).add_(tau_min)
        exponential = similarity.div_(tau).exp_()
        torch.div(exponential, tau, out=slope)
        return exponential

    return Exponential(apply, 1.0)


def of_odds(eps: float) -> Exponential:
    """Return (1 + s) / (1 - s), whose slope is 2 / (1 - s)^2; beyond 1 - eps it is constant."""
    limit = 1.0 - eps

    def apply(similarity: Tensor, slope: Tensor) -> Tensor:
        low, high = torch.aminmax(similarity)
        beyond = None
        if high >= limit or low <= -limit:
            beyond = similarity.abs() >= limit
            similarity.clamp_(-limit, limit)
        torch.sub(similarity.new_ones(()), similarity, out=slope).reciprocal_()
        odds = similarity.add_(1.0).mul_(slope)
        slope.square_()
        if beyond is not None:
            slope.masked_fill_(beyond, 0.0)
        return odds

    return Exponential(apply, 2.0)
