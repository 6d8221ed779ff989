"""Citation graphs from arrays: what is read, what is refused, and GRACE on each of the published graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.io import read_npz

from suite.benchmarks.graph import NodeClassification
from suite.benchmarks.graph.data import from_arrays, load
from suite.conformance.benchmark import BenchmarkConformance
from suite.losses import InfoNCE
from suite.registry.load import load as registry
from suite.training import Context, Interrupted, Step, evaluate, train
from tests.benchmarks.graph_factory import NODES, Locate, arrays, context, write_arrays

PUBLISHED = ("graph_citeseer", "graph_pubmed", "graph_dblp")


def test_a_graph_is_what_pytorch_geometric_reads_but_for_the_weights_of_words(tmp_path: Path) -> None:
    found = arrays()
    graph = load("pubmed", write_arrays(tmp_path, found))
    theirs = read_npz(str(tmp_path / "graph.npz"))
    assert torch.equal(graph.edges, theirs.edge_index)
    assert torch.equal(graph.labels, theirs.y)
    words = graph.features.to_dense()
    assert torch.equal(words > 0, theirs.x > 0)
    raw = np.zeros((NODES, words.shape[1]))
    for row in range(NODES):
        first, last = found["attr_indptr"][row : row + 2]
        raw[row, found["attr_indices"][first:last]] = found["attr_data"][first:last]
    total = raw.sum(axis=1, keepdims=True)
    assert total.min() < 1 < total.max()  # weights that sum to less are left as they are
    np.testing.assert_allclose(words.numpy(), raw / np.maximum(total, 1), rtol=1e-6)


def test_loops_are_left_out(tmp_path: Path) -> None:
    found = arrays()
    plain = from_arrays(write_arrays(tmp_path / "plain", found)("dblp", "dblp.npz"))
    looped = dict(found)
    first = found["adj_indptr"][1]
    looped["adj_indices"] = np.concatenate([found["adj_indices"][:first], [0], found["adj_indices"][first:]])
    looped["adj_data"] = np.ones(len(looped["adj_indices"]))
    looped["adj_indptr"] = np.concatenate([[0], found["adj_indptr"][1:] + 1])
    assert torch.equal(from_arrays(write_arrays(tmp_path / "looped", looped)("dblp", "dblp.npz")).edges, plain.edges)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "no array labels"),
        ({"labels": np.zeros(3, dtype=int)}, r"\(160, 160\) edges, \(160, 24\) features and 3 labels do not fit"),
        ({"labels": np.array([print] * NODES)}, "allow_pickle=False"),
    ],
)
def test_arrays_that_do_not_fit_or_hold_objects_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    found = {name: array for name, array in (arrays() | change).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        from_arrays(write_arrays(tmp_path, found)("dblp", "dblp.npz"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_settings_train_three_steps_and_evaluate(name: str, tmp_path: Path) -> None:
    settings = registry().settings[name, "paper"]
    task = NodeClassification(**settings).task(context(write_arrays(tmp_path)))
    assert task.model.encoder.out.out_channels == settings["width"]
    before, seen = evaluate(task), list[Step]()
    with pytest.raises(Interrupted):
        train(
            task,
            InfoNCE(registry().document.benchmarks[name].host_temperature or 0.0),
            task.context.streams,
            report=lambda step, metrics: seen.append(step),
            stop=lambda: len(seen) == 3,
        )
    after = evaluate(task)
    assert after.keys() == before.keys()
    assert after != before


class TestConformance(BenchmarkConformance):
    """On the form of the other three graphs, with the activation that CiteSeer has."""

    benchmark = NodeClassification("citeseer", epochs=4, width=8, activation="prelu", edge_drop_2=0.0, splits=1)
    primary = "accuracy"
    references = ("chance", "raw", "untrained", "supervised")

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.locate: Locate = write_arrays(tmp_path / "plain")
        self.other = tmp_path / "other"

    def context(self, seed: int) -> Context:
        return context(self.locate, seed)

    def with_other_test_items(self, context: Context) -> Context:
        found = arrays()
        tested = self.benchmark.task(context).splits[0].test
        found["labels"] = np.where(np.isin(np.arange(NODES), tested), (found["labels"] + 1) % 3, found["labels"])
        return replace(context, data=write_arrays(self.other, found))
