"""Encoders of nodes and of graphs, and projection heads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCNConv, GINConv, global_add_pool
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from suite.benchmarks.graph.tu import Graphs

# torch says so once a process, in every run's log
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)


@dataclass(frozen=True)
class Sparse:
    """A constant sparse matrix that dense ones are multiplied by, with its transpose, which their gradients need.

    Rows keep the order in which their entries are given, and are summed in it.

    Attributes
    ----------
    matrix : Tensor [rows, columns], float32, sparse CSR
    transposed : Tensor [columns, rows], float32, sparse CSR
    """

    matrix: Tensor
    transposed: Tensor

    @classmethod
    def of(cls, row: Tensor, column: Tensor, values: Tensor, shape: tuple[int, int]) -> Sparse:
        """Return the matrix of entries: int64, int64, float32, [entries] each."""
        return cls(_rows(row, column, values, shape), _rows(column, row, values, shape[::-1]))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with `x`: [columns, width] -> [rows, width]."""
        product: Tensor = _Product.apply(x, self.matrix, self.transposed)
        return product


class _Product(torch.autograd.Function):
    """A product with a constant sparse matrix, whose transpose torch would make anew in each backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ gradients[0], None, None


def _rows(row: Tensor, column: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    order = row.argsort(stable=True)
    starts = functional.pad(torch.bincount(row, minlength=shape[0]).cumsum(0), (1, 0))
    return torch.sparse_csr_tensor(starts, column[order], values[order], shape, check_invariants=False)


def propagation(edges: Tensor, nodes: int) -> Sparse:
    """Return the matrix of a graph convolution, D^-1/2 (A + I) D^-1/2 (Kipf & Welling 2017, equation 2).

    Products with it take a quarter of the time of PyTorch Geometric's gathering and scattering along edges. Each sum
    runs over the edges in their order, the node itself last, as there.

    Parameters
    ----------
    edges : Tensor [2, edges], int64
        Each from row 0 to row 1.
    nodes : int
    """
    ends, weights = gcn_norm(edges, num_nodes=nodes)
    return Sparse.of(ends[1], ends[0], weights, (nodes, nodes))


class GCN(nn.Module):
    """Two graph convolutions, one activation after each (Kipf & Welling 2017, arXiv 1609.02907; GRACE's encoder).

    Parameters
    ----------
    features : int
        Features of a node.
    width : int
        Width of the embedding; the hidden layer is twice as wide.
    activation : nn.Module
        Where it has a parameter, both layers share it, as in the authors' code.
    """

    def __init__(self, features: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.hidden = GCNConv(features, 2 * width)
        self.out = GCNConv(2 * width, width)
        self.activation = activation

    def forward(self, features: Sparse, edges: Tensor, kept: Tensor | None = None) -> Tensor:
        """Embed every node.

        Parameters
        ----------
        features : Sparse [nodes, features]
        edges : Tensor [2, edges], int64
        kept : Tensor [features], bool, optional
            The others are taken for 0, at all nodes.

        Returns
        -------
        Tensor [nodes, width]
        """
        propagate = propagation(edges, len(features.matrix))
        # contiguous: torch multiplies sparse features by columns with a stride four times as slowly
        weight = self.hidden.lin.weight.t().contiguous()
        if kept is not None:
            weight = weight * kept.unsqueeze(1)
        hidden = propagate(features(weight)) + self.hidden.bias
        embedding: Tensor = self.activation(propagate(self.out.lin(self.activation(hidden))) + self.out.bias)
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


def initialise(module: nn.Module) -> None:
    """Draw a linear layer's weights as GraphCL's code does: uniform by fan-in and fan-out, biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
