"""The graph-level benchmark: collections of graphs, node dropping, the encoder, and training on synthetic graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from torch import Tensor

from suite.benchmarks.graph import GraphClassification
from suite.benchmarks.graph.augment import drop_nodes
from suite.benchmarks.graph.encoder import GIN
from suite.benchmarks.graph.evaluate import KernelEvaluation
from suite.benchmarks.graph.graph_level import GraphTask
from suite.benchmarks.graph.tu import Graphs, folds, load
from suite.conformance.benchmark import BenchmarkConformance
from suite.data import locate as real
from suite.losses import DCL, InfoNCE, Loss
from suite.losses.steps import Step
from suite.registry.load import load as load_registry
from suite.training import Context, Task, evaluate, geometry, train
from suite.training.streams import Streams
from tests.benchmarks.graph_factory import Locate, context
from tests.benchmarks.steps import train_three_steps

GRAPHS = 60
TINY = GraphClassification(epochs=3, batch=20, width=8, layers=2, folds=3)


def write_collection(
    folder: Path, seed: int = 0, relabel: set[int] | frozenset[int] = frozenset(), name: str = "MUTAG"
) -> Locate:
    """Write rings (class -1) and stars (class 1) with three kinds of nodes; some graphs get the other class."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(seed)
    files: dict[str, list[str]] = {"A": [], "graph_indicator": [], "graph_labels": [], "node_labels": []}
    first = 1
    for graph in range(GRAPHS):
        is_star, size = bool(graph % 3), int(draw.integers(5, 14))
        for node in range(size):
            other = 0 if is_star else (node + 1) % size
            if node != other:
                files["A"] += [f"{first + node}, {first + other}", f"{first + other}, {first + node}"]
        files["graph_indicator"] += [str(graph + 1)] * size
        files["graph_labels"].append("1" if is_star != (graph in relabel) else "-1")
        files["node_labels"] += [str(kind) for kind in draw.integers(0, 3, size)]
        first += size
    for part, lines in files.items():
        (folder / f"{name}_{part}.txt").write_text("\n".join(lines) + "\n")

    def locate(dataset: str, member: str) -> Path:
        assert dataset == name.lower()
        return folder / member

    return locate


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_collection(tmp_path_factory.mktemp("mutag"))


@pytest.fixture
def graphs(locate: Locate) -> Graphs:
    return load("MUTAG", lambda member: locate("mutag", member))


def trained(locate: Locate, loss: Loss, seed: int = 0, settings: GraphClassification = TINY) -> GraphTask:
    task = settings.task(context(locate, seed))
    train(task, loss, task.context.streams)
    return task


def weights(task: Task) -> Tensor:
    return torch.cat([value.flatten().float() for value in task.model.state_dict().values()])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class OneFold:
    """TINY with its first fold alone, stratified by shape, so that other classes do not make other folds.

    Of several folds, one's test graphs are another's training graphs.
    """

    def task(self, context: Context) -> GraphTask:
        task = TINY.task(context)
        is_star = np.arange(GRAPHS) % 3 > 0
        task.splits = folds(is_star, TINY.folds, context.streams.numpy("split"))[:1]
        return task


class TestConformance(BenchmarkConformance):
    benchmark = OneFold()
    primary = "accuracy"
    references = ("chance", "raw", "untrained")

    @pytest.fixture(autouse=True)
    def _files(self, locate: Locate, tmp_path: Path) -> None:
        self.locate = locate
        self.other_folder = tmp_path / "other"

    def context(self, seed: int) -> Context:
        return context(self.locate, seed)

    def with_other_test_items(self, context: Context) -> Context:
        tested = set(self.benchmark.task(context).splits[0].test.tolist())
        return replace(context, data=write_collection(self.other_folder, relabel=tested))


# --- collections -----------------------------------------------------------------------------------------------------


def test_a_collection_is_what_its_files_say(graphs: Graphs, locate: Locate) -> None:
    lines = {
        part: (locate("mutag", f"MUTAG_{part}.txt")).read_text().split("\n")[:-1]
        for part in ("A", "graph_indicator", "graph_labels", "node_labels")
    }
    assert [f"{a + 1}, {b + 1}" for a, b in graphs.edges.T.tolist()] == lines["A"]
    assert [str(graph + 1) for graph in graphs.graph.tolist()] == lines["graph_indicator"]
    assert ["-1" if label == 0 else "1" for label in graphs.labels.tolist()] == lines["graph_labels"]
    assert [str(kind) for kind in graphs.features.argmax(dim=1).tolist()] == lines["node_labels"]
    assert (graphs.features.sum(dim=1) == 1).all()
    assert (len(graphs), graphs.classes) == (GRAPHS, 2)


@pytest.mark.parametrize(
    ("part", "more", "message"),
    [("A", "1, 400\n", "an edge joins two graphs"), ("node_labels", "1\n", "not of the same graphs")],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, part: str, more: str, message: str) -> None:
    locate = write_collection(tmp_path)
    with (tmp_path / f"MUTAG_{part}.txt").open("a") as file:
        file.write(more)
    with pytest.raises(ValueError, match=message):
        load("MUTAG", lambda member: locate("mutag", member))


def test_some_graphs_are_embedded_as_they_are_among_all(graphs: Graphs) -> None:
    torch.manual_seed(0)
    encoder = GIN(3, 8, 2).eval()
    items = torch.tensor([40, 3, 17, 59, 0])
    some = graphs[items]
    assert torch.equal(some.labels, graphs.labels[items])
    assert torch.allclose(encoder(some), encoder(graphs)[items], atol=1e-5)


def test_the_encoder_is_a_sum_over_neighbours_and_nodes(graphs: Graphs) -> None:
    torch.manual_seed(0)
    encoder = GIN(3, 8, 2).eval()
    for norm in encoder.norms:
        norm.running_mean.uniform_(-1, 1)
    adjacency = torch.eye(len(graphs.graph))
    adjacency[graphs.edges[0], graphs.edges[1]] = 1.0
    member = torch.nn.functional.one_hot(graphs.graph).float().T
    nodes, expected = graphs.features, []
    for convolution, norm in zip(encoder.convolutions, encoder.norms, strict=True):
        nodes = norm(convolution.nn(adjacency @ nodes).relu())
        expected.append(member @ nodes)
    assert torch.allclose(encoder(graphs), torch.cat(expected, dim=1), atol=1e-4)


def test_each_graph_loses_its_share_of_nodes_and_their_edges(graphs: Graphs) -> None:
    size = torch.bincount(graphs.graph)
    numbered = replace(graphs, features=torch.arange(len(graphs.graph)).float().unsqueeze(1))
    hit = torch.zeros(len(graphs.graph))
    for seed in range(60):
        view = drop_nodes(numbered, 0.3, seeded(seed))
        assert torch.equal(torch.bincount(view.graph), size - (0.3 * size + 1e-9).long())
        kept = view.features[:, 0].long()
        inside = torch.isin(graphs.edges, kept).all(dim=0)
        assert torch.equal(kept[view.edges], graphs.edges[:, inside])
        hit[kept] += 1
    assert 0 < hit.min() < hit.max() < 60  # any node may go
    assert torch.equal(drop_nodes(graphs, 0.0, seeded()).edges, graphs.edges)


def test_every_graph_that_does_not_validate_tests_once_and_validating_ones_never() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 188)
    runs = [folds(labels, 10, Streams(seed).numpy("split")) for seed in (0, 0, 1)]
    for splits in runs:
        assert len(splits[0].val) == 37
        tested = np.concatenate([split.test for split in splits])
        assert sorted([*tested, *splits[0].val]) == list(range(188))
        for split in splits:
            assert np.array_equal(split.val, runs[0][0].val)
            assert sorted([*split.train, *split.val, *split.test]) == list(range(188))
    assert np.array_equal(runs[0][0].test, runs[1][0].test)
    assert not np.array_equal(runs[0][0].test, runs[2][0].test)


def test_the_kernel_evaluation_equals_a_plain_cross_validation() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 90)
    features = (draw.normal(size=(90, 4)) + labels[:, None]).astype(np.float32)
    splits = folds(labels, 3, draw)
    expected = []
    for split in splits:
        x, y = features[split.train], labels[split.train]
        inner = [cross_val_score(SVC(C=10.0**power), x, y, cv=5).mean() for power in range(-3, 4)]
        machine = SVC(C=10.0 ** (int(np.argmax(inner)) - 3)).fit(x, y)
        expected.append(float(np.mean(machine.predict(features[split.test]) == labels[split.test])))
    assert KernelEvaluation(features, labels, splits)("test")["accuracy"] == pytest.approx(np.mean(expected))


# --- training --------------------------------------------------------------------------------------------------------


def test_pairs_set_graphs_against_their_views_without_the_positive_in_the_denominator(locate: Locate) -> None:
    task = TINY.task(context(locate))
    pairs = task.objective(Step(1, 0, 1)).pairs
    assert pairs is not None
    assert pairs.index.tolist() == task.batches[Step(1, 0, 1)].tolist()
    assert torch.equal(pairs.positive, torch.eye(20, dtype=torch.bool))
    assert torch.equal(pairs.candidate, ~pairs.positive)
    s = pairs.similarity.detach().double()
    terms = [-s[i, i] / 0.2 + torch.logsumexp(s[i, torch.arange(20) != i] / 0.2, 0) for i in range(20)]
    assert InfoNCE(0.2)(pairs).item() == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)
    assert DCL(0.2)(pairs).item() == pytest.approx(InfoNCE(0.2)(pairs).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["graph_mutag", "graph_proteins", "graph_nci1"])
def test_the_published_settings_train_three_steps_and_evaluate(name: str, tmp_path: Path) -> None:
    registry = load_registry()
    settings = GraphClassification(**registry.settings[name, "paper"])
    assert (settings.width, settings.layers, settings.learning_rate, settings.epochs) == (32, 3, 0.01, 20)
    files = write_collection(tmp_path, name=settings.dataset.upper())
    task = replace(settings, folds=3).task(context(files))
    before = evaluate(task)
    train_three_steps(task, registry.document.benchmarks[name].host_temperature or 0.0)
    assert evaluate(task) != before


def test_weights_begin_as_in_the_authors_code(locate: Locate) -> None:
    model = replace(TINY, width=64).task(context(locate)).model
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert len(linear) == 6
    for layer in linear:
        bound = (6 / sum(layer.weight.shape)) ** 0.5  # Glorot & Bengio 2010, eq. 16
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert (layer.bias == 0).all()


def test_contrastive_training_sees_no_label(locate: Locate, tmp_path: Path) -> None:
    other = write_collection(tmp_path, relabel=set(range(0, GRAPHS, 2)))
    one, two = (trained(where, InfoNCE(0.2)) for where in (locate, other))
    assert torch.equal(weights(one), weights(two))
    assert one.diagnostics() == two.diagnostics()


def test_evaluation_follows_the_weights(locate: Locate) -> None:
    task = TINY.task(context(locate))
    untrained = task.evaluate("val")
    other = trained(locate, InfoNCE(0.2))
    task.model.load_state_dict(other.model.state_dict())
    assert task.evaluate("val") == other.evaluate("val") != untrained


def test_references_give_the_metrics_of_a_run(locate: Locate) -> None:
    task = TINY.task(context(locate))
    for reference in (task.reference("raw"), task.reference("chance")):
        assert set(reference) == set(evaluate(task))  # type: ignore[arg-type]


def test_diagnostics_are_of_the_graphs_that_validate(locate: Locate) -> None:
    task = TINY.task(context(locate))
    train(task, InfoNCE(0.2), Streams(0))
    task.model.eval()
    some = task.graphs[torch.from_numpy(task.splits[0].val)]
    assert len(some) == GRAPHS // 5
    with torch.no_grad():
        expected = geometry.uniformity(task.model.encoder(some))
    task.model.train()
    assert task.diagnostics()["uniformity"] == pytest.approx(expected, rel=1e-4)


def test_a_split_that_does_not_exist_is_refused(locate: Locate) -> None:
    with pytest.raises(ValueError, match="'val' or 'test' expected, got 'train'"):
        TINY.task(context(locate)).evaluate("train")


@pytest.mark.data
def test_mutag_has_the_published_size_and_is_above_chance_untrained() -> None:
    task = GraphClassification().task(context(real))
    assert torch.bincount(task.graphs.labels).tolist() == [63, 125]
    assert task.graphs.features.shape == (3371, 7)
    assert task.steps_per_epoch == 2
    chance = task.reference("chance")
    assert isinstance(chance, dict)
    assert task.evaluate("test")["accuracy"] > chance["test/accuracy"] + 0.05
