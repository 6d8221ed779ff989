"""Views of graphs.

Edges dropped and features masked, as in GRACE (Zhu et al. 2020, arXiv 2006.04131, section 3.2.2); nodes dropped, as in
GraphCL (You et al. 2020, arXiv 2010.13902, table 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from suite.benchmarks.graph.tu import Graphs


def drop_edges(edges: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Drop each directed edge with probability `rate`, as the authors' code does: one direction may stay.

    Parameters
    ----------
    edges : Tensor [2, edges], int64
    rate : float
    generator : torch.Generator
        On the edges' device.
    """
    return edges[:, torch.rand(edges.shape[1], generator=generator, device=edges.device) >= rate]


def keep_features(count: int, rate: float, generator: torch.Generator) -> Tensor:
    """Draw the features that are left when each is set to zero, at all nodes at once, with probability `rate`.

    Parameters
    ----------
    count : int
        Features of a node.
    rate : float
    generator : torch.Generator

    Returns
    -------
    Tensor [count], bool
        On the generator's device.
    """
    return torch.rand(count, generator=generator, device=generator.device) >= rate


def drop_nodes(graphs: Graphs, share: float, generator: torch.Generator) -> Graphs:
    """Drop ``floor(share * nodes)`` random nodes of each graph, with their edges.

    Parameters
    ----------
    graphs : Graphs
    share : float
    generator : torch.Generator
        On the graphs' device.
    """
    device = graphs.graph.device
    draw = torch.rand(len(graphs.graph), dtype=torch.float64, generator=generator, device=device)
    size = torch.bincount(graphs.graph, minlength=len(graphs))
    order = (graphs.graph + draw).argsort()  # by graph, at random within each
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=device) - (size.cumsum(0) - size)[graphs.graph[order]]
    # In double, and not a hair below: 0.1 * 30 must not become 2.
    return graphs.with_nodes(rank >= (share * size.double() + 1e-9).floor()[graphs.graph])
