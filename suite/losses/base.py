"""What a loss is, and the cross-entropy that most of them share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from suite.losses.arguments import checked
from suite.losses.blockwise import mean_over_anchors
from suite.losses.exponentials import Exponential
from suite.losses.steps import Step, Training
from suite.losses.symmetric import is_symmetric, mean_over_two_views
from suite.pairs import EmbeddedPairs, Pairs
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Hold the constructor's arguments against its annotations, such as :data:`suite.parameters.Positive`."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return ``forward(pairs)``.

        Raises
        ------
        TypeError
            If embeddings are given in place of pairs.
        """
        if any(isinstance(argument, Tensor) for argument in args):
            raise TypeError(
                f"{type(self).__name__} takes pairs, not embeddings: loss(two_view(z1, z2)) sets two views against "
                "each other; suite.pairs has cross_view, with_queue and labelled, too"
            )
        return super().__call__(*args, **kwargs)

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

    def extra_repr(self) -> str:
        """Return the constructor's parameters as they stand, as far as the loss keeps them under their names."""
        shown = ((name, getattr(self, name, None)) for name in inspect.signature(type(self)).parameters)
        return ", ".join(f"{name}={_shown(value)}" for name, value in shown if value is not None)


def _shown(value: Any) -> str:
    return f"{value.item():.4g}" if isinstance(value, Tensor) and value.numel() == 1 else repr(value)


class AnchorLoss(Loss):
    """A loss that is a mean over anchors, so that a large batch is computed in blocks of them."""

    #: Whether the loss is defined for one positive an anchor only.
    needs_one_positive: ClassVar[bool] = False
    #: Whether the loss is defined only where it is known which candidates are of the anchor's own view.
    needs_views: ClassVar[bool] = False

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

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return how e^logit of a negative is computed in place, for the fast path of many pairs of two views.

        Optional: with None, as here, :meth:`of_anchors` is used, which gives the same up to rounding. A loss that
        defines this defines :meth:`of_sums`, too. A subclass that overrides any of its other methods leaves the fast
        path until it defines both anew; so does a loss with parameters to train.

        Parameters
        ----------
        dtype : torch.dtype
            Of the similarities: what would overflow in it has to be left to :meth:`of_anchors`.
        shared : Any
            What :meth:`shared` gave.
        """
        return None

    def of_sums(self, log_negatives: Tensor, positive: Tensor, shared: Any) -> Tensor:
        """Return the loss of each anchor of two views, given what the fast path knows of it: [anchors].

        Parameters
        ----------
        log_negatives : Tensor [anchors]
            The logarithm of the sum of e^logit over an anchor's negatives.
        positive : Tensor [anchors]
            The cosine of its positive.
        shared : Any
            What :meth:`shared` gave.
        """
        raise TypeError(f"{type(self).__name__} defines exponential(dtype, shared) without of_sums(...)")

    def forward(self, pairs: Pairs) -> Tensor:
        """Return the mean over the anchors that have a positive: a scalar, in float32 or wider."""
        if self.needs_one_positive and not pairs.roles.is_single and bool((pairs.roles.positives() != 1).any()):
            raise ValueError(f"{type(self).__name__} is defined for exactly one positive an anchor")
        if self.needs_views and not pairs.roles.has_views:
            raise ValueError(f"{type(self).__name__} is defined for two views, pooled as by two_view(z1, z2)")
        with torch.autocast(pairs.device.type, enabled=False):
            with torch.no_grad():
                shared = self.shared(pairs)
            parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
            if isinstance(pairs, EmbeddedPairs) and is_symmetric(pairs) and not parameters and _is_whole(type(self)):
                exponential = self.exponential(pairs.parts[0].anchors.dtype, shared)
                if exponential is not None:
                    return mean_over_two_views(pairs, exponential, lambda sums, s: self.of_sums(sums, s, shared))
            return mean_over_anchors(lambda block: self.of_anchors(block, shared), pairs, parameters)


def _is_whole(cls: type[Any]) -> bool:
    """Whether no class overrides a part of a loss below the one that defined its fast path."""
    definer = next(base for base in cls.__mro__ if "exponential" in vars(base))
    below = cls.__mro__[: cls.__mro__.index(definer)]
    harmless = {"__init__", "diagnostics", "extra_repr", "start", "prepare"}
    return not any(callable(value) and name not in harmless for base in below for name, value in vars(base).items())


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

    def of_sums(self, log_negatives: Tensor, positive: Tensor, shared: Any) -> Tensor:
        """Return the cross-entropy of each anchor's positive, from the log-odds against it."""
        against = log_negatives - self.logits(positive)
        return torch.logaddexp(against, torch.zeros_like(against))


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
