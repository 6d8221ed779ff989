"""Encoders of nodes and of graphs, and projection heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv, global_add_pool

from suite.benchmarks.graph.tu import Graphs


class GCN(nn.Module):
    """Two graph convolutions, a ReLU after each (Kipf & Welling 2017, arXiv 1609.02907; GRACE's encoder).

    Parameters
    ----------
    features : int
        Features of a node.
    width : int
        Width of the embedding; the hidden layer is twice as wide.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.hidden = GCNConv(features, 2 * width)
        self.out = GCNConv(2 * width, width)

    def forward(self, features: Tensor, edges: Tensor) -> Tensor:
        """Embed every node.

        Parameters
        ----------
        features : Tensor [nodes, features]
            Dense or sparse.
        edges : Tensor [2, edges], int64

        Returns
        -------
        Tensor [nodes, width]
        """
        hidden: Tensor = self.hidden(features, edges).relu()
        embedding: Tensor = self.out(hidden, edges).relu()
        return embedding


class GIN(nn.Module):
    """A graph isomorphism network (Xu et al. 2019, arXiv 1810.00826), as GraphCL's code for TU data has it.

    Each layer adds up a node's neighbours and itself, passes the sum through two linear layers, a ReLU after each, and
    normalises the batch; a graph's embedding is the sum over its nodes after each layer, all layers side by side.

    Parameters
    ----------
    features : int
        Features of a node.
    width, layers : int
    """

    def __init__(self, features: int, width: int, layers: int) -> None:
        super().__init__()
        inputs = [features, *[width] * (layers - 1)]
        self.convolutions = nn.ModuleList(
            GINConv(nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width))) for size in inputs
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in inputs)

    def forward(self, graphs: Graphs) -> Tensor:
        """Embed every graph: [graphs, layers * width]."""
        nodes, pooled = graphs.features, []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            nodes = norm(convolution(nodes, graphs.edges).relu())
            pooled.append(global_add_pool(nodes, graphs.graph, len(graphs)))
        return torch.cat(pooled, dim=1)


class Model(nn.Module):
    """An encoder with a head on it: embeddings for evaluation, the head's outputs for training.

    Parameters
    ----------
    encoder : nn.Module
        :class:`GCN` or :class:`GIN`.
    head : nn.Module
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, *inputs: Any) -> Tensor:
        """Return the head's outputs for the encoder's inputs: [nodes or graphs, outputs]."""
        outputs: Tensor = self.head(self.encoder(*inputs))
        return outputs


def projection_head(width: int, hidden: int, activation: nn.Module) -> nn.Sequential:
    """Return a head of two linear layers, back to `width`: with ELU GRACE's, with ReLU GraphCL's."""
    return nn.Sequential(nn.Linear(width, hidden), activation, nn.Linear(hidden, width))
