"""Adap-tau: a scale that follows from the data, and one a sample from its own loss, in place of a temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from suite.losses.base import NO_NEGATIVE, AnchorLoss
from suite.losses.samples import check_samples
from suite.losses.steps import Step, Training
from suite.pairs import Pairs
from suite.pairs.gather import gathered
from suite.parameters import Positive

#: What the authors' code takes for the difference of mean cosines before it has measured it.
FIRST_GAP: Final = 0.7
#: W has no real value below -1 / e: it is -1 there; and the authors' table ends at 1000.
W_FROM, W_TO = -1.0 / math.e, 1000.0
#: Nearer to the branch point the series is as good as float64 allows.
BRANCH: Final = 1e-5
HALLEY_STEPS: Final = 12


def lambert_w(x: Tensor) -> Tensor:
    """Return W(x), the larger real solution of W e^W = x, elementwise.

    Parameters
    ----------
    x : Tensor, float64
        At least -1 / e, where W is -1.
    """
    # from the series at the branch point, and from log(1 + x), which exceeds W; Halley's steps converge cubically
    p = (2.0 * (1.0 + math.e * x)).clamp(min=0.0).sqrt()
    w = torch.where(x < 0, -1.0 + p - p.square() / 3.0, torch.log1p(x.clamp(min=0.0)))
    for _ in range(HALLEY_STEPS):
        off, above = w * w.exp() - x, w + 1.0
        w = torch.where(p > BRANCH, w - off / (w.exp() * above - (w + 2.0) * off / (2.0 * above)), w)
    return w


class AdapTau(AnchorLoss):
    """Contrastive loss whose temperatures follow from the data (Chen et al. 2023, arXiv 2302.04775).

    The scale w_0 of the positive is the one at which e^(w_0 s) of a positive at the mean cosine of positives is M / 2
    times that of a candidate at the mean cosine of candidates, M being an anchor's candidates. The scale of an anchor's
    negatives is w_0 e^(-W((l - mean l) / damping)): l is the mean loss at scale 1 of its sample in the epoch before,
    mean l that over samples, W Lambert's function, so that a sample that is hard gets a higher temperature. Both are
    measured in each epoch for the next, outside the gradient.

    As in the authors' code for recommendation, but that means are taken over the batches of the epoch, where theirs are
    over all users and items at its start; that anchors are of augmented views and not of users and items; and that the
    difference of the mean cosines has a lower bound, which theirs has not: an encoder that does not tell positives from
    negatives would give an infinite scale.

    Parameters
    ----------
    damping : float
        The larger, the more equal the samples' scales (temperature_2 of the code).
    personal : bool
        Whether each sample has its own scale; without it this is Adap-tau_0, whose only number is the bound.
    least_gap : float
        Lower bound of the difference of the mean cosines: w_0 is at most log(M / 2) / least_gap.
    """

    equation = (
        r"\log \sum_{j \neq +} e^{w_i s_j} - w_0 s_+,\ "
        r"w_0 = \frac{\log(M / 2)}{\bar s_+ - \bar s},\ "
        r"w_i = w_0\, e^{-W((l_i - \bar l) / \lambda)}"
    )
    source = "Chen et al. 2023, arXiv 2302.04775, and the authors' code"
    needs = "the sample behind each anchor, and the epoch; three numbers a sample"
    needs_one_positive = True

    ratio: Tensor
    hardness: Tensor
    anchors: Tensor
    gap: Tensor
    cosines: Tensor

    def __init__(self, damping: Positive = 1.0, personal: bool = True, least_gap: Positive = 0.1) -> None:
        super().__init__()
        self.damping = damping
        self.personal = personal
        self.least_gap = least_gap
        self._started = False
        self._seen: list[tuple[Tensor, Tensor]] = []
        self.register_buffer("gap", torch.tensor(FIRST_GAP, dtype=torch.float64))
        self.register_buffer("cosines", torch.zeros(2, dtype=torch.float64))
        self._size(0)

    def prepare(self, training: Training) -> None:
        """Make room for the state of each sample."""
        self._size(training.samples)

    def start(self, step: Step) -> None:
        """At the start of an epoch, take the scales that follow from what the last one has measured."""
        self._started = True
        if step.within == 0 and bool(self.anchors.any()):
            self._turn()

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean over anchors; in training mode, measure their cosines and the losses of their samples.

        Raises
        ------
        ValueError
            If there is no room for the state of a sample, or training has not told which step it is.
        """
        check_samples(type(self).__name__, pairs.index, len(self.ratio))
        if self.training and not self._started:
            raise ValueError("AdapTau measures epoch by epoch: call loss.start(training.step(index)) before every step")
        self._seen.clear()
        value = super().forward(pairs)
        if self.training:
            self._measure()
        return value

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the log-odds of each anchor's negatives, at its scale, against its positive at the common one."""
        positive = pairs.roles.positive_mean(pairs.similarity)
        with torch.no_grad():
            negatives = pairs.roles.only_negatives(pairs.similarity, -torch.inf)
            count = torch.isfinite(negatives).sum(dim=1)
            if bool((count == 0).any()):
                raise ValueError(NO_NEGATIVE)
            common = ((count + 1).to(positive.dtype) / 2).log() / self.gap.clamp(min=self.least_gap).to(positive.dtype)
            own = common * self.ratio[pairs.index].to(positive.dtype)
            mean = (pairs.roles.only_negatives(pairs.similarity, 0.0).sum(dim=1) + positive) / (count + 1)
            measured = torch.stack([negatives.logsumexp(dim=1) - positive, positive, mean], dim=1)
            self._seen.append((pairs.index, measured))
        logits = pairs.roles.only_negatives(pairs.similarity * own.unsqueeze(1), -torch.inf)
        return logits.logsumexp(dim=1) - common * positive

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the difference of the mean cosines that the scales rest on, and the mean of the samples' ratios."""
        return {"gap": float(self.gap), "scale_ratio": float(self.ratio[pairs.index].mean())}

    def _size(self, samples: int) -> None:
        like = self.ratio if "ratio" in self._buffers else torch.empty(0)
        self.register_buffer("ratio", like.new_ones(samples))
        self.register_buffer("hardness", like.new_zeros(samples))
        self.register_buffer("anchors", like.new_zeros(samples))

    def _measure(self) -> None:
        index = gathered(torch.cat([index for index, _ in self._seen]))
        seen = gathered(torch.cat([measured for _, measured in self._seen]))
        self.hardness.index_add_(0, index, seen[:, 0].to(self.hardness.dtype))
        self.anchors.index_add_(0, index, torch.ones_like(seen[:, 0], dtype=self.anchors.dtype))
        self.cosines += seen[:, 1:].to(self.cosines.dtype).sum(dim=0)

    def _turn(self) -> None:
        positive, mean = (self.cosines.double() / self.anchors.double().sum()).tolist()
        self.gap.fill_(positive - mean)
        if self.personal:
            seen = self.anchors > 0
            hardness = self.hardness[seen].double() / self.anchors[seen].double()
            excess = (hardness - hardness.mean()) / self.damping
            self.ratio[seen] = (-lambert_w(excess.clamp(W_FROM, W_TO))).exp().to(self.ratio)
        for measured in (self.hardness, self.anchors, self.cosines):
            measured.zero_()
