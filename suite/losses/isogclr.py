"""iSogCLR: a temperature for each sample, learnt by dual steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from suite.losses.base import NO_NEGATIVE, AnchorLoss
from suite.losses.samples import check_samples
from suite.losses.steps import Training
from suite.pairs import Pairs
from suite.pairs.gather import gathered
from suite.parameters import Fraction, NonNegative, Positive

GRADIENT_LIMIT = 3.0


class ISogCLR(AnchorLoss):
    """Global contrastive loss with individualised temperatures (Qiu et al. 2023, arXiv 2305.11965).

    Each sample keeps a temperature tau, a moving average of its negatives' mean e^(s / tau), here its logarithm, and a
    momentum. The loss of an anchor is the weighted mean cosine of its negatives minus that of its positive; the weights
    and all three states stay outside the gradient. After a step in training mode the states of the batch's samples
    move, by the mean over each sample's anchors. As in the authors' code for images, but that it is the mean over
    anchors: half their sum over the two views; and that a sample's average starts at its first value whenever that is,
    not in epoch 0 only.

    Parameters
    ----------
    temperature : float
        Where each tau starts. The defaults are those of the authors' script for CIFAR-100.
    rho : float
        Radius of the robust objective: larger, and temperatures fall.
    gamma : float
        Share of the batch in the moving average.
    rate, momentum : float
        Step size of tau, and share of the new gradient in its momentum (beta_u of the code).
    tau_min, tau_max : float
        Bounds of tau.

    Raises
    ------
    ValueError
        If the temperature starts outside its bounds.
    """

    equation = (
        r"\frac{1}{M} \sum_{j \neq +} w_j s_j - s_+,\ "
        r"w_j = \mathrm{sg}\left[\frac{e^{s_j/\tau_i}}{g_i}\right],\ "
        r"g_i \leftarrow (1 - \gamma) g_i + \frac{\gamma}{M} \sum_{j \neq +} e^{s_j/\tau_i}"
    )
    source = "Qiu et al. 2023, arXiv 2305.11965, Algorithm 1, and the authors' code"
    needs = "the sample behind each anchor; three numbers a sample"
    needs_one_positive = True

    log_average: Tensor
    tau: Tensor
    velocity: Tensor

    def __init__(
        self,
        temperature: Positive = 0.1,
        rho: NonNegative = 0.4,
        gamma: Fraction = 0.8,
        rate: Positive = 0.03,
        momentum: Fraction = 0.5,
        tau_min: Positive = 0.05,
        tau_max: Positive = 1.0,
    ) -> None:
        super().__init__()
        if not tau_min <= temperature <= tau_max:
            raise ValueError(f"temperature should lie in [tau_min, tau_max], got {temperature}, {tau_min}, {tau_max}")
        self.temperature = temperature
        self.rho = rho
        self.gamma = gamma
        self.rate = rate
        self.momentum = momentum
        self.tau_min = tau_min
        self.tau_max = tau_max
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._size(0)

    def prepare(self, training: Training) -> None:
        """Make room for the state of each sample."""
        self._size(training.samples)

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean over anchors; in training mode, move the state of their samples."""
        check_samples(type(self).__name__, pairs.index, len(self.tau))
        self._seen.clear()
        value = super().forward(pairs)
        if self.training:
            self._move()
        return value

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the weighted mean cosine of each anchor's negatives minus its positive's."""
        with torch.no_grad():
            tau = self.tau[pairs.index].to(pairs.similarity.dtype)
            before = self.log_average[pairs.index].to(tau.dtype)
            logits = pairs.similarity / tau.unsqueeze(1)
            negatives = pairs.roles.only_negatives(logits, -torch.inf)
            log_count = torch.isfinite(negatives).sum(dim=1).to(tau.dtype).log()
            if bool(log_count.isinf().any()):
                raise ValueError(NO_NEGATIVE)
            fresh = negatives.logsumexp(dim=1) - log_count
            kept, taken = (share.log() for share in fresh.new_tensor([1.0 - self.gamma, self.gamma]))
            log_average = torch.where(before.isinf(), fresh, torch.logaddexp(before + kept, fresh + taken))
            weight = (negatives - (log_average + log_count).unsqueeze(1)).exp_()
            slope = log_average + self.rho - (weight * logits).sum(dim=1)
            self._seen.append((pairs.index, torch.stack([log_average, slope], dim=1)))
        return (weight * pairs.similarity).sum(dim=1) - pairs.roles.positive_mean(pairs.similarity)

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the mean temperature of the batch's samples."""
        return {"temperature": float(self.tau[pairs.index].mean())}

    def _size(self, samples: int) -> None:
        like = self.tau if "tau" in self._buffers else torch.empty(0)
        self.register_buffer("log_average", like.new_full((samples,), -torch.inf))
        self.register_buffer("tau", like.new_full((samples,), self.temperature))
        self.register_buffer("velocity", like.new_zeros(samples))

    def _move(self) -> None:
        index = gathered(torch.cat([index for index, _ in self._seen]))
        values = gathered(torch.cat([values for _, values in self._seen])).to(self.tau.dtype)
        samples, of_sample, anchors = torch.unique(index, return_inverse=True, return_counts=True)
        slope = values.new_zeros(len(samples)).index_add_(0, of_sample, values[:, 1]) / anchors
        velocity = self.velocity[samples]
        velocity += self.momentum * (slope.clamp(-GRADIENT_LIMIT, GRADIENT_LIMIT) - velocity)
        largest = values.new_full((len(samples),), -torch.inf).scatter_reduce_(0, of_sample, values[:, 0], "amax")
        odds = torch.zeros_like(largest).index_add_(0, of_sample, (values[:, 0] - largest[of_sample]).exp())
        self.log_average[samples] = largest + (odds / anchors).log()
        self.velocity[samples] = velocity
        self.tau[samples] = (self.tau[samples] - self.rate * velocity).clamp(self.tau_min, self.tau_max)
