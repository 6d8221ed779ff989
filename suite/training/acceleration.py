"""A run's :class:`~suite.compute.Compute`, done: the one place where training trades bits for speed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import nn

from suite.compute import Compute


def choose_algorithms(compute: Compute) -> None:
    """Let this process compute deterministically from now on, or not.

    On a CPU nothing that is used here depends on the order of threads, and the call would import half of torch.
    """
    if not torch.cuda.is_available():
        return
    torch.use_deterministic_algorithms(compute.deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not compute.deterministic


def prepare(model: nn.Module, parts: Sequence[nn.Module], compute: Compute) -> None:
    """Bring a model to the memory format that is asked for, and compile its parts if that is.

    Parameters and their names stay what they are.

    Parameters
    ----------
    model : nn.Module
    parts : sequence of nn.Module
        What can be compiled.
    compute : Compute

    Raises
    ------
    ValueError
        If something is to be compiled and there are no parts.
    """
    if compute.channels_last:
        model.to(memory_format=torch.channels_last)
    if compute.compile and not parts:
        raise ValueError("the benchmark names nothing that could be compiled: leave out compute.compile")
    for part in parts if compute.compile else ():
        part.compile()


def autocast(compute: Compute, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context of a training step's forward pass."""
    if compute.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
