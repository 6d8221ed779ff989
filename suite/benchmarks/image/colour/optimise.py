"""Stochastic gradient descent as the published protocols have it, LARS, and their schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Gradient descent, each tensor's rate in proportion to its norm (You et al. 2017, arXiv 1708.03888, eq. 6).

    The step is ``trust |w| / (|g| + decay |w|) (g + decay w)``, with momentum. Parameters without decay (biases and
    normalisation) take plain steps, as in SimCLR's and lightly's code.

    Parameters
    ----------
    groups : iterable of parameter groups
    lr, momentum, weight_decay, trust : float
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the parameters that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        direction, decay = weight.grad, group["weight_decay"]
        assert direction is not None
        if decay:
            norm, of_gradient = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(direction)
            share = group["trust"] * norm / (of_gradient + decay * norm + 1e-8)
            # where either is 0 the step is a plain one; chosen on the device, so that nothing waits for it
            share = torch.where((norm > 0) & (of_gradient > 0), share, 1.0)
            direction = (direction + decay * weight) * share
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        state["momentum_buffer"].mul_(group["momentum"]).add_(direction)
        weight.sub_(group["lr"] * state["momentum_buffer"])


def without_decay_of_vectors(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return parameter groups with biases and normalisation apart, not decayed."""
    split = []
    for group in groups:
        apart = {dimensions: [p for p in group["params"] if (p.ndim > 1) == dimensions] for dimensions in (True, False)}
        split += [{**group, "params": apart[True]}, {**group, "params": apart[False], "weight_decay": 0.0}]
    return [group for group in split if group["params"]]


def cosine_by_epoch(progress: float, epochs: int) -> float:
    """Return half a cosine's factor on the rate, the same for all steps of an epoch: torch's ``CosineAnnealingLR``.

    Parameters
    ----------
    progress : float
        Share of training that is done, in [0, 1).
    epochs : int
    """
    # a step's progress is a quotient: the epoch that it begins must not be missed by a rounding
    return 0.5 * (1 + math.cos(math.pi * math.floor(progress * epochs + 1e-9) / epochs))
