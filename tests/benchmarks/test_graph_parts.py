"""Data, views, encoder and evaluation of the graph benchmark, each against a plain computation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from suite.benchmarks.graph.augment import drop_edges, keep_features
from suite.benchmarks.graph.data import Graph, Split, from_tables, split
from suite.benchmarks.graph.encoder import GCN, Sparse
from suite.benchmarks.graph.evaluate import INVERSE_PENALTIES, LinearEvaluation, scores
from suite.training.streams import Streams
from tests.benchmarks.graph_factory import CLASSES, NODES, tables, write_graph


def read(folder: Path, *frames: object) -> Graph:
    locate = write_graph(folder, *(frames or tables()))  # type: ignore[arg-type]
    return from_tables(locate("cora", "cora_nodes.parquet"), locate("cora", "cora_rels.parquet"))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- data ------------------------------------------------------------------------------------------------------------


def test_the_graph_is_what_a_loop_over_the_files_finds(tmp_path: Path) -> None:
    nodes, citations = tables()
    graph = read(tmp_path, nodes, citations)
    names = nodes["nodeId"].tolist()
    expected = set()
    for source, target in citations.itertuples(index=False):
        pair = names.index(source), names.index(target)
        expected |= {pair, pair[::-1]}
    pairs = list(map(tuple, graph.edges.T.tolist()))
    assert len(citations) < len(pairs) == len(set(pairs))
    assert set(pairs) == expected
    assert graph.labels.tolist() == nodes["subject"].tolist()
    assert (len(graph), graph.classes) == (NODES, CLASSES)
    for row, words in zip(graph.features.to_dense().tolist(), nodes["features"], strict=True):
        assert row == pytest.approx([word / max(1, sum(words)) for word in words])


def test_a_citation_that_goes_both_ways_or_occurs_twice_is_one_edge(tmp_path: Path) -> None:
    nodes, citations = tables()
    one = citations.iloc[[0, 0, 0]].reset_index(drop=True)
    one.iloc[1] = one.iloc[1, ::-1].to_numpy()
    assert read(tmp_path, nodes, one).edges.shape == (2, 2)


def test_a_node_that_is_missing_or_occurs_twice_is_named(tmp_path: Path) -> None:
    nodes, citations = tables()
    gone = citations["targetNodeId"].iloc[0]
    with pytest.raises(ValueError, match=f"names node {gone}, not in .*cora_nodes"):
        read(tmp_path / "missing", nodes[nodes["nodeId"] != gone], citations[citations["targetNodeId"] == gone])
    twice = nodes.assign(nodeId=nodes["nodeId"].where(nodes.index != 1, nodes["nodeId"][0]))
    with pytest.raises(ValueError, match=f"node {nodes['nodeId'][0]} occurs more than once"):
        read(tmp_path / "twice", twice, citations)


def test_is_read_once_a_process(tmp_path: Path) -> None:
    locate = write_graph(tmp_path, *tables())
    files = [locate("cora", name) for name in ("cora_nodes.parquet", "cora_rels.parquet")]
    assert from_tables(*files) is from_tables(*files)


def test_a_split_parts_all_nodes_a_tenth_a_tenth_and_the_rest() -> None:
    parts = split(2708, Streams(3).numpy("split", 0))
    assert [len(nodes) for nodes in (parts.train, parts.val, parts.test)] == [270, 270, 2168]
    assert sorted(np.concatenate([parts.train, parts.val, parts.test]).tolist()) == list(range(2708))


def test_no_node_that_validates_in_one_run_tests_in_another() -> None:
    splits = [split(500, Streams(seed).numpy("split", number)) for seed in range(5) for number in range(3)]
    assert not {*np.concatenate([s.val for s in splits])} & {*np.concatenate([s.test for s in splits])}
    assert len({tuple(s.val) for s in splits}) == 1
    assert len({tuple(s.train) for s in splits}) == 15
    trained = np.bincount(np.concatenate([s.train for s in splits]), minlength=500)
    assert (trained[splits[0].val] == 0).all()
    assert trained.max() < 9  # at random 15 / 9 on average


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="'val' or 'test' expected, got 'train'"):
        split(20, np.random.default_rng(0)).part("train")


# --- views -----------------------------------------------------------------------------------------------------------


def test_edges_are_dropped_at_their_rate_each_direction_by_itself(tmp_path: Path) -> None:
    edges = read(tmp_path).edges
    whole, both, kept = set(map(tuple, edges.T.tolist())), 0, []
    for seed in range(40):
        left = set(map(tuple, drop_edges(edges, 0.4, seeded(seed)).T.tolist()))
        assert left < whole
        kept.append(len(left) / len(whole))
        both += sum(pair[::-1] in left for pair in left)
    assert np.mean(kept) == pytest.approx(0.6, abs=0.01)
    assert both / 40 / len(whole) == pytest.approx(0.36, abs=0.02)
    assert torch.equal(drop_edges(edges, 0.0, seeded()), edges)
    assert drop_edges(edges, 1.0, seeded()).shape == (2, 0)


def test_features_are_dropped_at_their_rate() -> None:
    kept = torch.stack([keep_features(24, 0.3, seeded(seed)) for seed in range(200)]).double()
    assert kept.mean().item() == pytest.approx(0.7, abs=0.03)
    assert 0.5 < kept.mean(dim=0).min() < kept.mean(dim=0).max() < 0.9  # any of them
    assert keep_features(24, 0.0, seeded()).all()
    assert not keep_features(24, 1.0, seeded()).any()


def test_a_view_is_a_function_of_its_generator(tmp_path: Path) -> None:
    graph = read(tmp_path)
    first, again, other = (drop_edges(graph.edges, 0.5, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


# --- encoder ---------------------------------------------------------------------------------------------------------


def dense_gcn(encoder: GCN, features: Tensor, edges: Tensor) -> Tensor:
    """Kipf & Welling 2017, eq. 9, with matrices; GRACE's activation after both layers."""
    adjacency = torch.eye(len(features))
    adjacency[edges[1], edges[0]] = 1.0
    scale = adjacency.sum(dim=1).rsqrt()
    propagation = scale[:, None] * adjacency * scale
    for layer in (encoder.hidden, encoder.out):
        features = propagation @ features @ layer.lin.weight.T + layer.bias
        slope = encoder.activation.weight if isinstance(encoder.activation, nn.PReLU) else 0.0
        features = features.clamp(min=0) + slope * features.clamp(max=0)
    return features


def sparse_of(matrix: Tensor) -> Sparse:
    row, column = matrix.nonzero().T
    return Sparse.of(row, column, matrix[row, column], (matrix.shape[0], matrix.shape[1]))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.PReLU])
def test_the_encoder_and_its_gradient_equal_the_dense_formula_on_sparse_features(
    tmp_path: Path, activation: Callable[[], nn.Module]
) -> None:
    graph = read(tmp_path)
    torch.manual_seed(0)
    encoder = GCN(graph.features.shape[1], 8, activation())
    words, kept = graph.features.to_dense(), keep_features(graph.features.shape[1], 0.3, seeded())
    assert 0 < kept.sum() < len(kept)
    edges = drop_edges(graph.edges, 0.4, seeded())
    assert {(a, b) for a, b in edges.T.tolist()} != {(b, a) for a, b in edges.T.tolist()}  # a matrix and its transpose
    gradients = []
    for output in (
        encoder(sparse_of(words), edges, kept),
        encoder(sparse_of(words * kept), edges),
        dense_gcn(encoder, words * kept, edges),
    ):
        encoder.zero_grad()
        output.square().sum().backward()
        gradients.append([output.detach(), *(parameter.grad.clone() for parameter in encoder.parameters())])
    assert gradients[0][0].abs().max() > 1e-3
    for got, expected in itertools.product(gradients[:2], gradients[2:]):
        for a, b in zip(got, expected, strict=True):
            assert torch.allclose(a, b, atol=1e-6 + 1e-4 * float(b.abs().max()))


# --- evaluation ------------------------------------------------------------------------------------------------------


def problem(seed: int = 0, nodes: int = 150) -> tuple[np.ndarray, np.ndarray, list[Split]]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, nodes)
    features = draw.normal(size=(nodes, 5)) + 1.5 * np.eye(3, 5)[labels]
    return features.astype(np.float32), labels, [split(nodes, np.random.default_rng(seed)) for seed in (1, 2)]


def plain_evaluation(features: np.ndarray, labels: np.ndarray, parts: Split) -> dict[str, dict[str, float]]:
    """Choose C by validation in a loop over binary problems, then score with counts."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    best = -1.0
    for inverse_penalty in 2.0 ** np.arange(-10, 10):
        margins = [
            LogisticRegression(C=inverse_penalty, solver="liblinear")
            .fit(unit[parts.train], labels[parts.train] == label)
            .decision_function(unit)
            for label in range(3)
        ]
        predicted = np.argmax(margins, axis=0)
        right = float(np.mean((predicted == labels)[parts.val]))
        if right > best:
            best, chosen = right, predicted
    result = {}
    for name, nodes in (("val", parts.val), ("test", parts.test)):
        f1 = []
        for label in range(3):
            hit = np.sum((chosen[nodes] == label) & (labels[nodes] == label))
            f1.append(2 * hit / (np.sum(chosen[nodes] == label) + np.sum(labels[nodes] == label)))
        result[name] = {"accuracy": float(np.mean((chosen == labels)[nodes])), "macro_f1": float(np.mean(f1))}
    return result


@pytest.mark.parametrize("as_sparse", [False, True])
def test_evaluation_equals_a_plain_loop_over_penalties_classes_and_splits(as_sparse: bool) -> None:
    features, labels, splits = problem()
    evaluation = LinearEvaluation(sparse.csr_array(features) if as_sparse else features, labels, splits)
    expected = [plain_evaluation(features, labels, parts) for parts in splits]
    for part in ("val", "test"):
        for name in ("accuracy", "macro_f1"):
            assert evaluation(part)[name] == pytest.approx(np.mean([result[part][name] for result in expected]))


def test_labels_of_test_nodes_choose_nothing() -> None:
    features, labels, splits = problem()
    shuffled = labels.copy()
    shuffled[splits[0].test] = np.random.default_rng(0).permutation(labels[splits[0].test])
    one, two = (LinearEvaluation(features, some, splits[:1]) for some in (labels, shuffled))
    assert one("val") == two("val")
    assert one("test") != two("test")
    predictions = [evaluation._classifiers[0].predict(features) for evaluation in (one, two)]
    assert np.array_equal(*predictions)


def test_the_penalties_are_those_of_the_authors_code() -> None:
    assert INVERSE_PENALTIES[0] == 2**-10
    assert INVERSE_PENALTIES[-1] == 2**9
    assert len(INVERSE_PENALTIES) == 20


def test_a_class_that_is_never_predicted_has_no_f1() -> None:
    assert scores(np.array([0, 0, 0, 1]), np.zeros(4, dtype=int)) == {"accuracy": 0.75, "macro_f1": 3 / 7}
