"""The loss under test: fresh instances of it, and what they give."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

import suite
from suite.conformance.conventions import CONVENTIONS, SEVERAL_POSITIVES, TRAINING, WITHOUT_VIEWS, Batch, draw
from suite.losses import AnchorLoss, Loss
from suite.pairs import EmbeddedPairs, Pairs

#: Relative accuracy that is asked for where float64 is used throughout.
TOLERANCE = 1e-9


class Failed(Exception):
    """A check found something wrong; the message says what, where, and what to do."""


class Unsupported(Exception):
    """The loss says that it is not defined for what a check needs."""


@dataclass(frozen=True)
class Outcome:
    """What a loss gives for a batch.

    Attributes
    ----------
    value : Tensor scalar
    gradients : sequence of Tensor
        Of the first and second embeddings and the queue; zeros where there is none.
    similarity, of_similarity : Tensor [anchors, candidates]
        The cosines and their gradient.
    of_parameters : mapping of name to Tensor or None
        The gradients of the loss's own parameters, but for those that are frozen (``requires_grad=False``).
    """

    value: Tensor
    gradients: Sequence[Tensor]
    similarity: Tensor
    of_similarity: Tensor
    of_parameters: Mapping[str, Tensor | None]

    @property
    def is_finite(self) -> bool:
        """Whether value and all gradients are."""
        tensors = [self.value, *self.gradients, *(g for g in self.of_parameters.values() if g is not None)]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


class Subject:
    """A loss under test.

    Parameters
    ----------
    make : callable () -> Loss
        Makes a fresh instance; called often.

    Raises
    ------
    Failed
        If what it makes is no loss.
    """

    def __init__(self, make: Callable[[], Loss]) -> None:
        self._make = make
        with seeded():
            first = make()
        if not isinstance(first, Loss):
            raise Failed(
                f"{type(first).__name__} is no loss: derive it from suite.losses.Loss and call super().__init__()"
            )
        self.needs_views = isinstance(first, AnchorLoss) and first.needs_views
        self._initial = {name: parameter.detach().clone() for name, parameter in first.named_parameters()}

    def fresh(self, dtype: torch.dtype = torch.float64) -> Loss:
        """Return an instance as it is at the first step of training, the same each time."""
        with seeded():
            loss = self._make()
            loss.prepare(TRAINING)
        with torch.no_grad():
            for name, parameter in loss.named_parameters():
                if name in self._initial:
                    parameter.copy_(self._initial[name])
        loss.to(dtype).train()
        loss.start(TRAINING.step(0))
        return loss

    def outcome(self, convention: str, batch: Batch, loss: Loss | None = None) -> Outcome:
        """Return value and gradients of a loss, a fresh one if none is given."""
        loss = self.fresh(batch.first.dtype) if loss is None else loss
        pairs = CONVENTIONS[convention](batch)
        return outcome(loss, pairs, batch)

    @cached_property
    def conventions(self) -> Sequence[str]:
        """The conventions of pairs under which the loss can be checked further: it is finite there for random rows."""
        return [convention for convention in CONVENTIONS if self._is_usable(convention)]

    def _is_usable(self, convention: str) -> bool:
        try:
            return self.outcome(convention, draw()).is_finite
        except Exception:
            return False  # the check of this convention tells why


def outcome(loss: Callable[[Pairs], Tensor], pairs: EmbeddedPairs, batch: Batch) -> Outcome:
    """Return value and gradients of a loss for pairs that were made of a batch.

    Raises
    ------
    Failed
        If the loss gives no scalar that depends on the similarities.
    """
    with seeded():
        value = differentiable(loss(pairs))
    similarity = pairs.similarity  # the very tensor that the loss used, unless it went through blocks
    named: Iterable[tuple[str, torch.nn.Parameter]]
    named = loss.named_parameters() if isinstance(loss, torch.nn.Module) else ()
    parameters = {name: parameter for name, parameter in named if parameter.requires_grad}
    inputs = [similarity, *batch.embeddings, *parameters.values()]
    of_similarity, *rest = torch.autograd.grad(value, inputs, allow_unused=True)
    count = len(batch.embeddings)
    gradients = [torch.zeros_like(z) if g is None else g for z, g in zip(batch.embeddings, rest[:count], strict=True)]
    of_similarity = torch.zeros_like(similarity) if of_similarity is None else of_similarity
    of_parameters = dict(zip(parameters, rest[count:], strict=True))
    return Outcome(value.detach(), gradients, similarity.detach(), of_similarity, of_parameters)


def differentiable(value: object) -> Tensor:
    """Return what a loss gave, if it is a scalar with a gradient."""
    if not isinstance(value, Tensor):
        raise Failed(f"forward(pairs) gives {type(value).__name__}, not a tensor")
    if value.ndim:
        raise Failed(f"forward(pairs) gives shape {list(value.shape)}, not a scalar: take the mean over the anchors")
    if not value.requires_grad:
        raise Failed("the result has no gradient: a detach(), .data, .item() or no_grad() cuts off all of it")
    return value


@contextlib.contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Fix the default random generator for a block, and give it back as it was."""
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


def refusal_of(subject: Subject, convention: str, error: Exception) -> Exception:
    """Return what an exception of the loss means under a convention."""
    allowed = WITHOUT_VIEWS if subject.needs_views else SEVERAL_POSITIVES
    if isinstance(error, Failed):
        return Failed(f"under {convention}: {error}")
    if isinstance(error, ValueError) and convention in allowed:
        return Unsupported(str(error))
    return Failed(f"under {convention}: {told(error)}")


def told(error: BaseException) -> str:
    """Return an exception with the place outside of this package and of torch where it was raised."""
    known = (Path(suite.__file__).parent / "conformance", Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(folder) for folder in known)
    ]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raises {type(error).__name__}: {error}{place}"


def deviation(found: Outcome, expected: Outcome) -> str | None:
    """Return how value or gradients of two outcomes in float64 differ; None if only by rounding."""
    slack = TOLERANCE * float(expected.of_similarity.abs().sum())
    if not torch.isclose(found.value, expected.value, rtol=TOLERANCE, atol=slack):
        return f"the value is {number(found.value)}, not {number(expected.value)}"
    compared = [("the embeddings", f, e) for f, e in zip(found.gradients, expected.gradients, strict=True)]
    for name, gradient in expected.of_parameters.items():
        other = found.of_parameters[name]
        if gradient is not None or other is not None:
            zero = torch.zeros(())
            compared.append(
                (f"parameter {name}", zero if other is None else other, zero if gradient is None else gradient)
            )
    for what, f, e in compared:
        difference = (f - e).abs()
        if float(difference.max()) > TOLERANCE * (1.0 + float(e.abs().max())) + slack:
            at = int(difference.argmax())
            here, there = (number(g.expand_as(difference).flatten()[at]) for g in (f, e))
            return f"the gradient of {what} holds {here} where it should hold {there}"
    return None


def number(value: Tensor | float) -> str:
    """Return a number as messages show it."""
    return f"{float(value.detach() if isinstance(value, Tensor) else value):.7g}"
