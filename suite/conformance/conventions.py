"""What a loss is tried on: batches of embeddings, plain and degenerate, under every convention of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from suite.losses.steps import Training
from suite.pairs import EmbeddedPairs, cross_view, labelled, two_view, with_queue

ROWS, DIMENSIONS, QUEUE = 6, 5, 4

#: The training that losses are prepared for.
TRAINING: Final = Training(samples=3 * ROWS, epochs=2, steps_per_epoch=3)

#: Groups of labels, and the same with the last sample alone.
LABELS: Final = ((0, 0, 0, 1, 1, 1), (0, 0, 0, 1, 1, 2))


@dataclass(frozen=True)
class Batch:
    """Embeddings of a batch of samples, before they are normalised.

    Attributes
    ----------
    first, second : Tensor [N, D]
        Two views, or queries and keys.
    queue : Tensor [K, D]
        Earlier keys.
    groups, groups_and_one : Tensor [N], int64
        Labels under which every sample has a positive, and under which one has none.
    index : Tensor [N], int64
        The samples' numbers in the data set.
    """

    first: Tensor
    second: Tensor
    queue: Tensor
    groups: Tensor
    groups_and_one: Tensor
    index: Tensor

    @property
    def embeddings(self) -> tuple[Tensor, Tensor, Tensor]:
        """All that a gradient may reach."""
        return self.first, self.second, self.queue

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with its embeddings changed, as leaves that a gradient reaches."""
        first, second, queue = (change(z).detach().clone().requires_grad_() for z in self.embeddings)
        return replace(self, first=first, second=second, queue=queue)

    def to(self, dtype: torch.dtype) -> Batch:
        """Return the batch in another floating type."""
        return self.mapped(lambda z: z.to(dtype))

    def reordered(self, order: Tensor) -> Batch:
        """Return the batch with its samples, and the queue, in another order."""
        queue = order[order < len(self.queue)]
        moved = Batch(
            self.first[order],
            self.second[order],
            self.queue[queue],
            self.groups[order],
            self.groups_and_one[order],
            self.index[order],
        )
        return moved.mapped(lambda z: z)


def draw(kind: str = "random", seed: int = 0) -> Batch:
    """Return a batch in float64, of one of :data:`KINDS`."""
    generator = torch.Generator().manual_seed(seed)
    first, second, queue = (
        torch.randn(rows, DIMENSIONS, generator=generator, dtype=torch.float64) for rows in (ROWS, ROWS, QUEUE)
    )
    if kind == "clustered":
        first = 1.0 + 0.01 * first
        second = first + 0.001 * second
        queue = 1.0 + 0.01 * queue
    elif kind == "duplicate":
        first = first[[0, 0, 0, 1, 1, 2]]
        second = first
        queue = first[:QUEUE]
    elif kind == "antipodal":
        first = torch.cat([first[: ROWS // 2], -first[: ROWS // 2]])
        second = -first
        queue = -first[:QUEUE]
    elif kind == "zero":
        first, second, queue = (z * (torch.arange(len(z)) > 0).unsqueeze(1) for z in (first, second, queue))
    index = torch.randperm(TRAINING.samples, generator=generator)[:ROWS]
    groups, groups_and_one = (torch.tensor(labels) for labels in LABELS)
    return Batch(first, second, queue, groups, groups_and_one, index).to(torch.float64)


KINDS: Final[Mapping[str, str]] = {
    "random": "random rows",
    "clustered": "rows in one cluster",
    "duplicate": "duplicate rows",
    "antipodal": "antipodal rows",
    "zero": "a row of zeros",
}

CONVENTIONS: Final[Mapping[str, Callable[[Batch], EmbeddedPairs]]] = {
    "two_view": lambda b: two_view(b.first, b.second, b.index),
    "cross_view": lambda b: cross_view(b.first, b.second, b.index),
    "cross_view, symmetric": lambda b: cross_view(b.first, b.second, b.index, symmetric=True),
    "cross_view, decoupled": lambda b: cross_view(b.first, b.second, b.index, decoupled=True),
    "with_queue": lambda b: with_queue(b.first, b.second, b.queue, b.index),
    "labelled": lambda b: labelled(b.first, b.groups, b.index),
    "labelled, one alone": lambda b: labelled(b.first, b.groups_and_one, b.index),
}

#: Where a loss may say that it is defined for two views that are pooled only.
WITHOUT_VIEWS: Final = tuple(name for name in CONVENTIONS if name != "two_view")

#: Where a loss may say that it is defined for one positive an anchor only.
SEVERAL_POSITIVES: Final = ("labelled", "labelled, one alone")
