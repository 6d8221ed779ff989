"""A citation graph from its files, and which of its nodes are for what.

The files are read here, and not by PyTorch Geometric's data sets, since these download what has no checksum, unpickle
some of it, and set every feature of the arrays to 1, whatever its weight. All else is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.utils import remove_self_loops, to_undirected

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
        Divided by their sum, row by row, where that is above 1.
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


def load(dataset: str, locate: Callable[[str, str], Path]) -> Graph:
    """Read a citation graph; once a process, so never write into it.

    Parameters
    ----------
    dataset : str
        By its name in the catalogue: ``cora`` comes as two tables, the others as arrays.
    locate : callable (dataset, member) -> Path
        The local file of a member.
    """
    if dataset == "cora":
        return from_tables(*(locate("cora", member) for member in ("cora_nodes.parquet", "cora_rels.parquet")))
    return from_arrays(locate(dataset, f"{dataset}.npz"))


@lru_cache(maxsize=4)
def from_tables(nodes: Path, citations: Path) -> Graph:
    """Read a citation graph from two tables.

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
    return _graph(words, torch.from_numpy(ends), torch.tensor(table["subject"].to_numpy(), dtype=torch.int64))


@lru_cache(maxsize=4)
def from_arrays(path: Path) -> Graph:
    """Read a citation graph from the arrays of two sparse matrices, edges and features, and of the labels.

    So Bojchevski & Günnemann 2018 (arXiv 1707.03815) and Shchur et al. 2018 (arXiv 1811.05868) published theirs. Loops
    are left out, as PyTorch Geometric does; nothing is unpickled.

    Parameters
    ----------
    path : Path
        ``.npz`` with ``adj_data``, ``adj_indices``, ``adj_indptr``, ``adj_shape``, the same of ``attr``, ``labels``.

    Raises
    ------
    ValueError
        If an array is missing, or nodes, edges and labels do not fit together.
    """
    with np.load(path, allow_pickle=False) as arrays:
        names = {f"{matrix}_{part}" for matrix in ("adj", "attr") for part in ("data", "indices", "indptr", "shape")}
        if missing := sorted((names | {"labels"}) - set(arrays)):
            raise ValueError(f"{path}: no array {', '.join(missing)}")
        adjacency, attributes = (_matrix(arrays, name) for name in ("adj", "attr"))
        labels = torch.from_numpy(arrays["labels"].astype(np.int64))
    if adjacency.shape != (len(labels), len(labels)) or attributes.shape[0] != len(labels):
        sizes = f"{adjacency.shape} edges, {attributes.shape} features and {len(labels)} labels"
        raise ValueError(f"{path}: {sizes} do not fit")
    ends = torch.from_numpy(np.stack(adjacency.nonzero()).astype(np.int64))
    return _graph(torch.from_numpy(attributes.toarray()).float(), remove_self_loops(ends)[0], labels)


def _matrix(arrays: Mapping[str, np.ndarray], name: str) -> sparse.csr_array:
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=tuple(arrays[f"{name}_shape"]))


def _graph(words: Tensor, ends: Tensor, labels: Tensor) -> Graph:
    """Return the graph of weights of words [nodes, words] and edges [2, edges], each perhaps in one direction alone."""
    scaled = words / words.sum(dim=1, keepdim=True).clamp(min=1)
    return Graph(scaled.to_sparse().coalesce(), to_undirected(ends, num_nodes=len(labels)), labels)


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
