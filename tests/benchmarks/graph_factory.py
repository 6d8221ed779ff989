"""A small synthetic citation graph in the files that Cora comes in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from suite.benchmarks.graph import NodeClassification
from suite.training import Context
from suite.training.streams import Streams

NODES, WORDS, CLASSES = 160, 24, 3
TINY = NodeClassification(epochs=4, width=8, splits=1)

Locate = Callable[[str, str], Path]


def tables(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return nodes that share words, and cite each other, within a class more often than across; in no order."""
    draw = np.random.default_rng(seed)
    subject = draw.integers(0, CLASSES, NODES)
    chance = np.where(np.arange(WORDS) % CLASSES == subject[:, None], 0.3, 0.1)
    features = (draw.random((NODES, WORDS)) < chance).astype(int)
    same = subject[:, None] == subject
    source, target = np.nonzero(draw.random((NODES, NODES)) < np.where(same, 0.03, 0.004))
    names = draw.permutation(10 * NODES)[:NODES]
    nodes = pd.DataFrame({"nodeId": names, "labels": "Paper", "subject": subject, "features": list(features)})
    apart = source != target
    citations = pd.DataFrame({"sourceNodeId": names[source[apart]], "targetNodeId": names[target[apart]]})
    return nodes, citations


def write_graph(folder: Path, nodes: pd.DataFrame, citations: pd.DataFrame) -> Locate:
    """Write both tables as the members of data set ``cora``."""
    folder.mkdir(exist_ok=True)
    nodes.to_parquet(folder / "cora_nodes.parquet")
    citations.to_parquet(folder / "cora_rels.parquet")

    def locate(dataset: str, member: str) -> Path:
        assert dataset == "cora"
        return folder / member

    return locate


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Return the graph of :func:`tables` as two sparse matrices and labels, its words weighted."""
    nodes, citations = tables(seed)
    place = {name: number for number, name in enumerate(nodes["nodeId"])}
    ends = [citations[column].map(place).to_numpy() for column in ("sourceNodeId", "targetNodeId")]
    words = np.stack(nodes["features"].tolist()) * np.random.default_rng(seed).uniform(0.01, 0.5, WORDS)
    found = {"labels": nodes["subject"].to_numpy()}
    adjacency = sparse.csr_array((np.ones(len(citations)), tuple(ends)), shape=(NODES, NODES))
    for name, matrix in (("adj", adjacency), ("attr", sparse.csr_array(words))):
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
        found |= {f"{name}_{part}": np.asarray(value) for part, value in parts.items()}
    return found


def write_arrays(folder: Path, found: dict[str, np.ndarray] | None = None) -> Locate:
    """Write the arrays as the member of any data set whose graphs come so."""
    folder.mkdir(exist_ok=True)
    path = folder / "graph.npz"
    np.savez_compressed(path, **(arrays() if found is None else found))  # type: ignore[arg-type]

    def locate(dataset: str, member: str) -> Path:
        assert member == f"{dataset}.npz"
        return path

    return locate


def context(locate: Locate, seed: int = 0) -> Context:
    """Return what a benchmark may use, on the CPU."""
    return Context(Streams(seed), torch.device("cpu"), locate)
