"""The graph of items that follow each other, which DCRec sets a user's sequence against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.recommendation.data import PADDING, Sequences

LAYERS = 2


@dataclass(frozen=True)
class ItemGraph:
    """Items joined to those that came right before or after them in a training sequence, by how often they did.

    Yang et al. 2023, "Debiased Contrastive Learning for Sequential Recommendation" (DCRec), arXiv 2303.11780: what an
    item is to all users, beside what it is in one user's sequence. Each item is joined to itself once, and weights are
    divided by the roots of both degrees.

    Attributes
    ----------
    ends : Tensor [2, edges], int64
        Both directions of each edge.
    weights : Tensor [edges], float32
    """

    ends: Tensor
    weights: Tensor

    @classmethod
    def of(cls, sequences: Sequences, items: int) -> ItemGraph:
        """Return the graph of items 0 to `items`, on the sequences' device."""
        follows = torch.ones(len(sequences.items), dtype=torch.bool, device=sequences.items.device)
        follows[sequences.offsets[:-1]] = False  # nothing comes before the first item of a sequence
        later = follows.nonzero().squeeze(1)
        pair = torch.stack([sequences.items[later - 1], sequences.items[later]])
        pair = pair[:, pair[0] != pair[1]]
        joined = torch.cat([pair, pair.flip(0)], dim=1)
        numbers = joined[0] * (items + 1) + joined[1]
        number, count = numbers.unique(return_counts=True)  # type: ignore[no-untyped-call]
        own = torch.arange(items + 1, device=number.device)
        ends = torch.cat([torch.stack([number // (items + 1), number % (items + 1)]), own.repeat(2, 1)], dim=1)
        raw = torch.cat([count, torch.ones_like(own)]).float()
        root = torch.zeros(items + 1, device=number.device).index_add_(0, ends[0], raw).rsqrt()
        return cls(ends, raw * root[ends[0]] * root[ends[1]])

    def embeddings(self, items: Tensor, dropped: float, generator: torch.Generator) -> Tensor:
        """Return what the items' embeddings are among their neighbours: [items + 1, width] both.

        The mean over no, one and two passes along the edges, a share of them dropped, on top of the embedding itself,
        normalised.

        Parameters
        ----------
        items : Tensor [items + 1, width]
        dropped : float
            Probability with which an edge is left out, in one direction.
        generator : torch.Generator
            On the graph's device.
        """
        draw = torch.rand(self.weights.shape, generator=generator, device=self.weights.device)
        weights = self.weights.masked_fill(draw < dropped, 0.0).unsqueeze(1)
        layers = [items]
        for _ in range(LAYERS):
            layers.append(torch.zeros_like(items).index_add(0, self.ends[0], weights * layers[-1][self.ends[1]]))
        return functional.layer_norm(torch.stack(layers).mean(dim=0) + items, items.shape[1:])


def last_items(sequence: Tensor, length: Tensor) -> Tensor:
    """Return the last item of every padded sequence: int64 [N]."""
    items = sequence.gather(1, length[:, None] - 1).squeeze(1)
    assert not (items == PADDING).any()
    return items
