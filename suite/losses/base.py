"""What a loss is, and the cross-entropy that most of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from suite.pairs import Pairs


class Loss(nn.Module):
    """A contrastive loss: :class:`~suite.pairs.Pairs` in, a scalar out.

    Parameters of its own (``nn.Parameter``) are trained beside the encoder, without weight decay; buffers are
    checkpointed with the run.
    """

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean loss over the anchors of `pairs`: a scalar."""
        raise TypeError(f"{type(self).__name__} does not define forward(pairs)")

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return what is worth logging about the loss on these pairs; logged as ``train/<name>``."""
        return {}


class LogitLoss(Loss):
    """A loss that is a map from similarity to logit under the common cross-entropy."""

    #: What stands for a similarity that is not a candidate while the map is applied: inside every map's domain.
    neutral_similarity: ClassVar[float] = 0.0

    def logits(self, similarity: Tensor) -> Tensor:
        """Map cosines to logits, elementwise.

        Parameters
        ----------
        similarity : Tensor [anchors, candidates]
            Cosines in [-1, 1], float32 or wider.
        """
        raise TypeError(f"{type(self).__name__} does not define logits(similarity)")

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the cross-entropy of the positives under the mapped similarities: a scalar."""
        # A self-similarity of 1 must never reach the map: where the slope is infinite, masking afterwards would
        # multiply 0 by inf in the backward pass.
        similarity = pairs.similarity.masked_fill(~pairs.candidate, self.neutral_similarity)
        return cross_entropy(self.logits(similarity), pairs.positive, pairs.candidate)


def cross_entropy(logits: Tensor, positive: Tensor, candidate: Tensor) -> Tensor:
    """Mean over anchors of -log p(positive), the mean over an anchor's positives standing outside the logarithm.

    With one positive an anchor this is InfoNCE (van den Oord et al. 2018, eq. 4); with several, the outer form of
    SupCon (Khosla et al. 2020, eq. 2). Anchors without a positive do not count.

    Parameters
    ----------
    logits : Tensor [anchors, candidates]
    positive, candidate : Tensor [anchors, candidates], bool
    """
    log_normaliser = logits.masked_fill(~candidate, -torch.inf).logsumexp(dim=1)
    positives = positive.sum(dim=1)
    positive_logit = logits.masked_fill(~positive, 0.0).sum(dim=1) / positives.clamp(min=1)
    counted = positives > 0
    return (log_normaliser - positive_logit)[counted].sum() / counted.sum().clamp(min=1)
