"""Checks of what a loss carries through training: parameters, buffers, a compiler."""

from __future__ import annotations

import contextlib
import io
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from suite.conformance.conventions import CONVENTIONS, TRAINING, draw
from suite.conformance.subject import Failed, Subject, deviation, outcome, told
from suite.losses import Loss

#: The backend that runs what was traced without translating it: seconds faster than one that generates code.
BACKEND = "eager"


def trains_its_parameters(subject: Subject) -> str:
    """Check that every parameter of its own gets a gradient."""
    parameters = [name for name, p in subject.fresh().named_parameters() if p.requires_grad]
    if not parameters:
        return "it has no parameters of its own"
    reached: set[str] = set()
    for convention in subject.conventions:
        given = subject.outcome(convention, draw())
        reached |= {name for name, g in given.of_parameters.items() if g is not None and bool(g.any())}
    idle = [name for name in parameters if name not in reached]
    if idle:
        raise Failed(
            f"{', '.join(idle)} gets no gradient, or 0: use it in forward without detach() or .data, or make it a "
            "buffer (register_buffer)"
        )
    return f"{', '.join(parameters)}: all get a gradient"


def survives_a_checkpoint(subject: Subject) -> str:
    """Check that training continues bit by bit from a state that was saved and loaded."""
    convention, half = subject.conventions[0], TRAINING.steps // 2
    whole = subject.fresh(torch.float32)
    uninterrupted = _train(subject, whole, convention, 0, TRAINING.steps)
    first = subject.fresh(torch.float32)
    _train(subject, first, convention, 0, half)
    restored = subject.fresh(torch.float32)
    _restore(restored, first)
    continued = _train(subject, restored, convention, half, TRAINING.steps)
    for step, (expected, found) in enumerate(zip(uninterrupted[half:], continued, strict=True), half):
        if not all(torch.equal(e, f) for e, f in zip(expected, found, strict=True)):
            lost = sorted(set(_differing(whole, restored)))
            culprits = f": {', '.join(lost)} {'is' if len(lost) == 1 else 'are'} not in state_dict()" if lost else ""
            raise Failed(
                f"training that continues from a checkpoint gives something else at step {step}{culprits}; "
                "keep state in buffers (self.register_buffer), sized in __init__ or prepare(training)"
            )
    return "training continues from its state_dict bit by bit"


def _train(subject: Subject, loss: Loss, convention: str, start: int, stop: int) -> list[list[Tensor]]:
    """Train a loss's own parameters; returns value and gradients of each step."""
    parameters = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    trace = []
    for number in range(start, stop):
        loss.start(TRAINING.step(number))
        batch = draw(seed=number).to(torch.float32)
        given = outcome(loss, CONVENTIONS[convention](batch), batch)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, given.of_parameters.values(), strict=True):
                if gradient is not None:
                    parameter.sub_(0.01 * gradient)
        trace.append([given.value, *given.gradients])
    return trace


def _restore(loss: Loss, saved: Loss) -> None:
    content = io.BytesIO()
    try:
        torch.save(saved.state_dict(), content)
        content.seek(0)
        loss.load_state_dict(torch.load(content, weights_only=True))
    except pickle.UnpicklingError as error:
        raise Failed("its state_dict() holds something else than tensors, numbers and texts") from error
    except Exception as error:
        raise Failed(
            f"its state cannot be restored into a fresh instance: {told(error)}; size buffers in prepare(training)"
        ) from error


def _differing(whole: Loss, restored: Loss) -> Iterator[str]:
    """Find what two losses hold differently outside of their states."""
    kept = set(whole.state_dict())
    others = dict(restored.named_modules())
    for prefix, module in whole.named_modules():
        for name, value in {**vars(module), **module._buffers}.items():
            path = f"{prefix}.{name}".lstrip(".")
            if name.startswith(("_parameters", "_buffers", "_modules")) or path in kept:
                continue
            if not _same(value, getattr(others[prefix], name, None)):
                yield path


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    try:
        return bool(one == other)
    except Exception:
        return True  # cannot be told


def compiles(subject: Subject) -> str:
    """Check that value and gradients are the same under torch.compile."""
    convention, batch = subject.conventions[0], draw()
    expected = subject.outcome(convention, batch)
    torch._dynamo.reset()  # after a few instances of one class the compiler would give up, and prove nothing
    try:
        with _quiet("torch._dynamo"):
            compiled: Any = torch.compile(subject.fresh(), backend=BACKEND)
            found = outcome(compiled, CONVENTIONS[convention](batch), batch)
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"under torch.compile it {told(error).splitlines()[0]}") from error
    found = type(found)(**{**vars(found), "of_parameters": _unwrapped(found.of_parameters)})
    difference = deviation(found, expected)
    if difference is not None:
        raise Failed(f"under torch.compile {difference}")
    return "torch.compile changes nothing"


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger's warnings for a block: a break in the compiled graph costs time, and is no failure."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _unwrapped(gradients: Any) -> dict[str, Tensor | None]:
    return {name.removeprefix("_orig_mod."): gradient for name, gradient in gradients.items()}
