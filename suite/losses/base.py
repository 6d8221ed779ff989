"""What a loss is, and the cross-entropy that most of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from suite.losses.blockwise import mean_over_anchors
from suite.losses.steps import Step, Training
from suite.pairs import Pairs
from suite.pairs.roles import ColumnRoles, Roles

NO_NEGATIVE = "an anchor has no negative, and without one this loss has no minimum: make the batch larger"


class Loss(nn.Module):
    """A contrastive loss: :class:`~suite.pairs.Pairs` in, a scalar out.

    What a loss may need beside the pairs reaches it so:

    - parameters of its own (``nn.Parameter``) are trained beside the encoder, without weight decay;
    - buffers are checkpointed with the run; :meth:`prepare` may size them;
    - :meth:`start` tells epoch and step before every step;
    - ``pairs.index`` is the sample behind each anchor.

    Attributes
    ----------
    equation : str
        The loss of one anchor, in LaTeX, for the documentation.
    source : str
        Paper and equation.
    needs : str
        What it needs beside pairs; empty if nothing.
    """

    equation: ClassVar[str] = ""
    source: ClassVar[str] = ""
    needs: ClassVar[str] = ""

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean loss over the anchors of `pairs`: a scalar."""
        raise TypeError(f"{type(self).__name__} does not define forward(pairs)")

    def prepare(self, training: Training) -> None:
        """Get ready for a training of known size; called once, before anything is computed or restored."""

    def start(self, step: Step) -> None:
        """Take note of where training stands; called before every step."""

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return what is worth logging about the loss on these pairs; logged as ``train/<name>``."""
        return {}


class AnchorLoss(Loss):
    """A loss that is a mean over anchors, so that a large batch is computed in blocks of them."""

    #: Whether the loss is defined for one positive an anchor only.
    needs_one_positive: ClassVar[bool] = False

    def shared(self, pairs: Pairs) -> Any:
        """Return what all anchors share, computed without a gradient and given to :meth:`of_anchors`."""
        return None

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the loss of each anchor of a block of pairs: [anchors].

        Parameters
        ----------
        pairs : Pairs
            A block, with all candidates of its anchors.
        shared : Any
            What :meth:`shared` gave.
        """
        raise TypeError(f"{type(self).__name__} does not define of_anchors(pairs, shared)")

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean over the anchors that have a positive: a scalar, in float32 or wider."""
        if self.needs_one_positive and not pairs.roles.is_single and bool((pairs.roles.positives() != 1).any()):
            raise ValueError(f"{type(self).__name__} is defined for exactly one positive an anchor")
        with torch.autocast(pairs.device.type, enabled=False):
            with torch.no_grad():
                shared = self.shared(pairs)
            parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
            return mean_over_anchors(lambda block: self.of_anchors(block, shared), pairs, parameters)


class LogitLoss(AnchorLoss):
    """A loss that is a map from similarity to logit under the common cross-entropy."""

    #: What stands for a similarity that has no role while the map is applied: inside every map's domain.
    neutral_similarity: ClassVar[float] = 0.0

    def logits(self, similarity: Tensor) -> Tensor:
        """Map cosines to logits, elementwise.

        Parameters
        ----------
        similarity : Tensor [anchors, candidates]
            Cosines in [-1, 1], float32 or wider.
        """
        raise TypeError(f"{type(self).__name__} does not define logits(similarity)")

    def mapped(self, pairs: Pairs) -> Tensor:
        """Return the logits of pairs; what has no role is no similarity of 1 to the map.

        Where the slope is infinite at 1, masking a self-similarity afterwards would multiply 0 by inf in the backward
        pass.
        """
        return self.logits(pairs.roles.without_strangers(pairs.similarity, self.neutral_similarity))

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the cross-entropy of each anchor's positives under the mapped similarities."""
        return cross_entropy(self.mapped(pairs), pairs.roles)


def cross_entropy(logits: Tensor, roles: Roles) -> Tensor:
    """Return -log p(positive) of each anchor, the mean over its positives standing outside the logarithm: [anchors].

    With one positive an anchor this is InfoNCE (van den Oord et al. 2018, eq. 4), computed as log(1 + e^d) from the
    log-odds d against the positive, which keeps its relative accuracy when the positive is all but certain; with
    several, the outer form of SupCon (Khosla et al. 2020, eq. 2).

    Parameters
    ----------
    logits : Tensor [anchors, candidates]
    roles : Roles

    Raises
    ------
    ValueError
        If the positive is left out of the denominator and an anchor has no negative.
    """
    if isinstance(roles, ColumnRoles):
        if not roles.in_denominator:
            return log_odds(logits, roles)
        against: Tensor = _LogOdds.apply(logits, roles.not_negative)
        return torch.logaddexp(against, torch.zeros_like(against))
    filled = roles.only_candidates(logits, _least(logits))
    return filled.logsumexp(dim=1) - roles.positive_mean(logits)


def log_odds(logits: Tensor, roles: Roles) -> Tensor:
    """Return the log-odds against the positive: log sum_negatives e^l - l_positive, each anchor's: [anchors].

    The decoupled loss of Yeh et al. 2022 (arXiv 2110.06848, eq. 6); of several positives, their mean logit counts.

    Parameters
    ----------
    logits : Tensor [anchors, candidates]
    roles : Roles

    Raises
    ------
    ValueError
        If an anchor has no negative: the odds would be 0.
    """
    if isinstance(roles, ColumnRoles):
        not_negative = roles.not_negative
        if not_negative.shape[1] >= logits.shape[1]:
            raise ValueError(NO_NEGATIVE)
        result: Tensor = _LogOdds.apply(logits, not_negative)
        return result
    normaliser = roles.only_negatives(logits, _least(logits)).logsumexp(dim=1)
    if bool((normaliser <= 0.5 * _least(logits)).any()):
        raise ValueError(NO_NEGATIVE)
    return normaliser - roles.positive_mean(logits)


def _least(logits: Tensor) -> float:
    """Return a logit that outweighs nothing and, unlike -inf, leaves no NaN where an anchor has no negative at all."""
    return torch.finfo(logits.dtype).min / 4


class _LogOdds(torch.autograd.Function):
    """Log-odds against the positive, the last of the columns that are no negatives; two passes, and two back."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, not_negative: Tensor) -> Tensor:
        negatives = logits.scatter(1, not_negative, _least(logits))
        normaliser = negatives.logsumexp(dim=1)
        ctx.save_for_backward(negatives, normaliser, not_negative)
        return normaliser - logits.gather(1, not_negative[:, -1:]).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        negatives, normaliser, not_negative = ctx.saved_tensors
        share = (negatives - normaliser.unsqueeze(1)).exp_().mul_(gradient.unsqueeze(1))
        return share.scatter_(1, not_negative[:, -1:], -gradient.unsqueeze(1)), None
