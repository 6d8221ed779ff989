"""MoCo's key encoder and queue (He et al. 2020, arXiv 1911.05722)."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from suite.benchmarks.image.encoder import Model
from suite.pairs import normalise
from suite.pairs.gather import gathered


class MomentumModel(Model):
    """A model that is trained, a copy that follows it slowly, and the keys that the copy made last.

    Copy and queue are part of the state, and so of a checkpoint, but have no gradient. As in the authors' code, only
    weights follow: the copy normalises by the statistics of the keys' own batch. Unlike there, keys are not shuffled
    between devices before they are made: the statistics are those of the whole batch on however many devices.

    Parameters
    ----------
    query : Model
        What is trained; the copy starts from its weights.
    queue : Tensor [size, outputs]
        The first keys, normalised here.
    momentum : float
        How much of the copy each update keeps, in [0, 1].

    Attributes
    ----------
    key : Model
        The copy.
    queue : Tensor [size, outputs]
        Keys of unit length, the newest first.
    """

    queue: Tensor

    def __init__(self, query: Model, queue: Tensor, momentum: float) -> None:
        super().__init__(query.encoder, query.head)
        self.key = deepcopy(query).requires_grad_(False)
        self.momentum = momentum
        self.register_buffer("queue", normalise(queue))

    def update_key(self) -> None:
        """Move the copy's weights towards the trained ones: key <- momentum key + (1 - momentum) query (eq. 2)."""
        with torch.no_grad():
            for name, weight in self.key.named_parameters():
                weight.lerp_(self.get_parameter(name), 1 - self.momentum)

    def enqueue(self, keys: Tensor) -> None:
        """Take in new keys for the oldest in the queue.

        Makes a new tensor, since pairs that hold the old one may be computed, again and later, in the backward pass.

        Parameters
        ----------
        keys : Tensor [keys, outputs]
            Of this process; those of all, normalised here, are at most as many as the queue holds.
        """
        new = normalise(gathered(keys.detach()))
        self.queue = torch.cat([new, self.queue[: len(self.queue) - len(new)]])
