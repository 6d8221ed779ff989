"""Collections of small graphs in the TU Dortmund text format (Morris et al. 2020, arXiv 2007.08663)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch_geometric.utils import subgraph

from suite.benchmarks.graph.data import ONCE_AND_FOR_ALL, Split

VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Graphs:
    """Graphs side by side: one large graph without edges between them.

    Attributes
    ----------
    features : Tensor [nodes, features], float32
    edges : Tensor [2, edges], int64
        Both directions of each edge; nodes are numbered through all graphs.
    graph : Tensor [nodes], int64
        Which graph a node belongs to.
    labels : Tensor [graphs], int64
    """

    features: Tensor
    edges: Tensor
    graph: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of graphs."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def __getitem__(self, items: Tensor) -> Graphs:
        """Return the graphs of the given numbers, each at most once: int64 [n]."""
        place = torch.full_like(self.labels, -1)
        place[items] = torch.arange(len(items), device=items.device)
        graph = place[self.graph]
        some = Graphs(self.features, self.edges, graph, self.labels[items])
        return some.with_nodes(graph >= 0)

    def with_nodes(self, kept: Tensor) -> Graphs:
        """Return the same graphs without the nodes that are not `kept`, and without their edges: bool [nodes]."""
        edges, _ = subgraph(kept, self.edges, relabel_nodes=True, num_nodes=len(kept))
        return Graphs(self.features[kept], edges, self.graph[kept], self.labels)

    def to(self, device: torch.device) -> Graphs:
        """Return the graphs on a device."""
        return Graphs(*(tensor.to(device) for tensor in (self.features, self.edges, self.graph, self.labels)))


def load(name: str, locate: Callable[[str], Path]) -> Graphs:
    """Read a collection with labelled nodes; once a process, so never write into it.

    The nodes' features are their labels, one-hot.

    Parameters
    ----------
    name : str
        What the files' names begin with: ``MUTAG``.
    locate : callable (str) -> Path
        The local file of a member such as ``MUTAG_A.txt``.

    Raises
    ------
    ValueError
        If the files do not fit together.
    """
    parts = ("A", "graph_indicator", "graph_labels", "node_labels")
    return _load(*(locate(f"{name}_{part}.txt") for part in parts))


@lru_cache(maxsize=4)
def _load(adjacency: Path, indicator: Path, graph_labels: Path, node_labels: Path) -> Graphs:
    edges = np.loadtxt(adjacency, dtype=np.int64, delimiter=",", ndmin=2).T - 1
    graph = np.loadtxt(indicator, dtype=np.int64, ndmin=1) - 1
    labels, kinds = (
        np.unique(np.loadtxt(file, dtype=np.int64, ndmin=1), return_inverse=True)[1]
        for file in (graph_labels, node_labels)
    )
    if len(kinds) != len(graph) or edges.max() >= len(graph) or graph.max() != len(labels) - 1:
        raise ValueError(f"{indicator.parent}: nodes, edges and labels are not of the same graphs")
    if (graph[edges[0]] != graph[edges[1]]).any():
        raise ValueError(f"{adjacency}: an edge joins two graphs")
    features = torch.nn.functional.one_hot(torch.from_numpy(kinds)).float()
    return Graphs(features, torch.from_numpy(edges), torch.from_numpy(graph), torch.from_numpy(labels))


def folds(labels: np.ndarray, count: int, draw: np.random.Generator) -> list[Split]:
    """Split graphs for cross-validation: a fifth validates, the same in every split; each other one tests once.

    Parameters
    ----------
    labels : array [graphs], int
    count : int
        How many folds of the graphs that do not validate; stratified.
    draw : np.random.Generator
        What assigns them to folds.
    """
    order = ONCE_AND_FOR_ALL.numpy("validation graphs").permutation(len(labels))
    held = int(VALIDATION_SHARE * len(labels))
    val, others = order[:held], order[held:]
    divider = StratifiedKFold(count, shuffle=True, random_state=int(draw.integers(2**31)))
    parts = divider.split(others, labels[others])
    return [Split(others[train], val, others[test]) for train, test in parts]
