"""The check of the gradient against central differences."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from suite.conformance.conventions import CONVENTIONS, draw
from suite.conformance.stopgradient import OtherComputation, StopGradients
from suite.conformance.subject import Failed, Subject, differentiable, number, seeded
from suite.losses import Loss
from suite.pairs import EmbeddedPairs, Pairs

STEP = 1e-6
#: Of the largest entry of the gradient; central differences at this step are accurate to about 1e-8.
RELATIVE, ABSOLUTE = 1e-5, 1e-7
#: Every third anchor is looked at, since their order does not matter, and of a large parameter some entries.
ANCHORS, ENTRIES = 3, 8


def equals_central_differences(subject: Subject) -> str:
    """Check the gradient against central differences in float64, stop-gradients being constants."""
    for convention in subject.conventions:
        pairs = CONVENTIONS[convention](draw())
        differences = _Differences(subject, pairs)
        try:
            differences.check_similarities(convention)
            differences.check_parameters(convention)
        except OtherComputation as error:
            raise Failed(
                f"under {convention} a cosine that changes by {STEP:g} makes the loss take other steps ({error}): "
                "no branch may depend on the values of similarities"
            ) from error
    return "agrees with central differences in float64"


class _Differences:
    """One convention's pairs, with a loss near them."""

    def __init__(self, subject: Subject, pairs: EmbeddedPairs) -> None:
        self._subject = subject
        self._pairs = pairs
        self._fixed = StopGradients()
        self._similarity = pairs.similarity.detach()
        loss, similarity = subject.fresh(), self._similarity.clone().requires_grad_()
        value = self._value(loss, similarity)
        if value.dtype != torch.float64:
            raise Failed(f"the result is {value.dtype} for similarities in float64: keep the dtype of pairs.similarity")
        self._parameters = {name: one for name, one in loss.named_parameters() if one.requires_grad}
        gradients = torch.autograd.grad(value, [similarity, *self._parameters.values()], allow_unused=True)
        tensors = [similarity, *self._parameters.values()]
        filled = [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, gradients, strict=True)]
        self._gradient, self._of_parameters = filled[0], filled[1:]

    def _value(self, loss: Loss, similarity: Tensor) -> Tensor:
        with seeded(), self._fixed.run():
            return differentiable(loss(Pairs.with_roles(similarity, self._pairs.roles, self._pairs.index)))

    def check_similarities(self, convention: str) -> None:
        """Compare the gradients of the similarities that have a role."""
        expected = self._gradient.clone()
        roles = self._pairs.candidate | self._pairs.positive
        for anchor, candidate in roles.nonzero().tolist():
            if anchor % ANCHORS:
                continue
            ends = []
            for step in (STEP, -STEP):
                similarity = self._similarity.clone()
                similarity[anchor, candidate] += step
                ends.append(float(self._value(self._subject.fresh(), similarity.requires_grad_()).detach()))
            expected[anchor, candidate] = (ends[0] - ends[1]) / (2 * STEP)
        worst = _worst(self._gradient, expected)
        if worst is not None:
            anchor, candidate = divmod(worst, expected.shape[1])
            kind = "positive" if self._pairs.positive[anchor, candidate] else "negative"
            self._fail(
                f"under {convention}, with respect to the similarity of anchor {anchor} and candidate {candidate} "
                f"({kind}, cosine {number(self._similarity[anchor, candidate])})",
                self._gradient[anchor, candidate],
                expected[anchor, candidate],
            )

    def check_parameters(self, convention: str) -> None:
        """Compare the gradients of the loss's own parameters."""
        for name, gradient in zip(self._parameters, self._of_parameters, strict=True):
            expected = gradient.clone().flatten()
            for entry in _spread(len(expected)):
                ends = []
                for step in (STEP, -STEP):
                    loss = self._subject.fresh()
                    with torch.no_grad():
                        dict(loss.named_parameters())[name].view(-1)[entry] += step
                    ends.append(float(self._value(loss, self._similarity.clone().requires_grad_()).detach()))
                expected[entry] = (ends[0] - ends[1]) / (2 * STEP)
            worst = _worst(gradient.flatten(), expected)
            if worst is not None:
                where = f"under {convention}, with respect to parameter {name}, entry {worst}"
                self._fail(where, gradient.flatten()[worst], expected[worst])

    def _fail(self, where: str, found: Tensor, expected: Tensor) -> None:
        raise Failed(
            f"{where}, the gradient is {number(found)}; central differences give {number(expected)}: "
            "a backward written by hand is wrong, or something is changed in place"
        )


def _worst(found: Tensor, expected: Tensor) -> int | None:
    """Return the flat place of the largest difference if it is one."""
    difference = (found - expected).abs()
    if not difference.numel() or float(difference.max()) <= RELATIVE * float(expected.abs().max()) + ABSOLUTE:
        return None
    return int(difference.argmax())


def _spread(entries: int) -> Iterator[int]:
    """Give some entries of so many, evenly."""
    yield from range(0, entries, max(1, entries // ENTRIES))
