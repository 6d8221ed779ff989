"""A citation graph from two parquet files, and which of its nodes are for what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from suite.training.streams import Streams

VALIDATION_SHARE = TRAINING_SHARE = 0.1

#: What validates is the same whatever the run's seed, so that nothing that selects in one run tests in another.
ONCE_AND_FOR_ALL = Streams(0)


@dataclass(frozen=True)
class Graph:
    """An undirected graph with features and a class for each node.

    Attributes
    ----------
    features : Tensor [nodes, features], float32, sparse COO, coalesced
        Each row sums to 1, or to 0.
    edges : Tensor [2, edges], int64
        Both directions of each edge, no edge twice.
    labels : Tensor [nodes], int64
    """

    features: Tensor
    edges: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def to(self, device: torch.device) -> Graph:
        """Return the graph on a device."""
        return Graph(self.features.to(device), self.edges.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Split:
    """Numbers of the nodes, or graphs, whose labels train a classifier, choose, and test: int64 arrays."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def part(self, name: str) -> np.ndarray:
        """Return the numbers of part ``"val"`` or ``"test"``."""
        if name not in ("val", "test"):
            raise ValueError(f"split 'val' or 'test' expected, got {name!r}")
        items: np.ndarray = getattr(self, name)
        return items


@lru_cache(maxsize=4)
def load(nodes: Path, citations: Path) -> Graph:
    """Read a citation graph; once a process, so never write into it.

    Parameters
    ----------
    nodes : Path
        Parquet with columns ``nodeId``, ``subject`` (the class, from 0) and ``features`` (a list of 0 and 1).
    citations : Path
        Parquet with columns ``sourceNodeId`` and ``targetNodeId``.

    Raises
    ------
    ValueError
        If a node occurs twice, or a citation names one that is missing.
    """
    table = pd.read_parquet(nodes, columns=["nodeId", "subject", "features"])
    edges = pd.read_parquet(citations, columns=["sourceNodeId", "targetNodeId"])
    number = pd.Index(table["nodeId"])
    if not number.is_unique:
        raise ValueError(f"{nodes}: node {number[number.duplicated()][0]} occurs more than once")
    ends = np.stack([number.get_indexer(edges[column]) for column in edges])
    if (ends < 0).any():
        raise ValueError(f"{citations}: a citation names node {edges.to_numpy().T[ends < 0][0]}, not in {nodes}")
    words = torch.from_numpy(np.stack(table["features"].tolist())).float()
    return Graph(
        features=(words / words.sum(dim=1, keepdim=True).clamp(min=1)).to_sparse().coalesce(),
        edges=to_undirected(torch.from_numpy(ends), num_nodes=len(table)),
        labels=torch.tensor(table["subject"].to_numpy(), dtype=torch.int64),
    )


def split(nodes: int, draw: np.random.Generator) -> Split:
    """Split the nodes at random: a tenth validates, the same in every split; a tenth trains, the rest tests.

    Parameters
    ----------
    nodes : int
        How many there are, at least 10.
    draw : np.random.Generator
        What divides the nodes that do not validate.
    """
    held, trained = int(VALIDATION_SHARE * nodes), int(TRAINING_SHARE * nodes)
    order = ONCE_AND_FOR_ALL.numpy("validation nodes").permutation(nodes)
    others = draw.permutation(order[held:])
    return Split(others[:trained], order[:held], others[trained:])
