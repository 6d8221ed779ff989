"""The graph benchmark as a whole, on a small synthetic graph in Cora's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.graph import NodeClassification
from suite.benchmarks.graph.evaluate import LinearEvaluation
from suite.benchmarks.graph.node_level import ContrastiveTask, SupervisedTask
from suite.conformance.benchmark import BenchmarkConformance
from suite.data import locate as real
from suite.losses import InfoNCE, Loss
from suite.losses.steps import Step
from suite.training import Checkpoint, Context, Interrupted, Task, evaluate, geometry, train
from tests.benchmarks.graph_factory import NODES, TINY, Locate, context, tables, write_graph


@pytest.fixture(scope="module")
def locate(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return write_graph(tmp_path_factory.mktemp("cora"), *tables())


def trained(locate: Locate, loss: Loss, seed: int = 0, settings: NodeClassification = TINY) -> ContrastiveTask:
    task = settings.task(context(locate, seed))
    train(task, loss, task.context.streams)
    return task


def supervised(locate: Locate, settings: NodeClassification = TINY, seed: int = 0) -> SupervisedTask:
    task = settings.task(context(locate, seed)).reference("supervised")
    assert isinstance(task, SupervisedTask)
    return task


def weights(task: Task) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in task.model.parameters()])


def similarity(task: Task, step: int = 0) -> Tensor:
    pairs = task.objective(Step(step, step, 0)).pairs
    assert pairs is not None
    return pairs.similarity.detach()


class TestConformance(BenchmarkConformance):
    benchmark = TINY
    primary = "accuracy"
    references = ("chance", "raw", "untrained", "supervised")

    @pytest.fixture(autouse=True)
    def _files(self, locate: Locate, tmp_path: Path) -> None:
        self.locate = locate
        self.other_folder = tmp_path / "other"

    def context(self, seed: int) -> Context:
        return context(self.locate, seed)

    def with_other_test_items(self, context: Context) -> Context:
        # Of several splits, one's test nodes are another's training nodes.
        assert TINY.splits == 1
        return replace(context, data=relabelled(self.other_folder, TINY.task(context).splits[0].test))


# --- objective -------------------------------------------------------------------------------------------------------


def test_the_loss_of_a_step_is_that_of_the_paper(locate: Locate) -> None:
    task = TINY.task(context(locate))
    pairs = task.objective(Step(2, 2, 0)).pairs
    assert pairs is not None
    u, v = (torch.nn.functional.normalize(task.model(*view), dim=1).double() for view in task.views(Step(2, 2, 0)))
    terms = []
    for own, other in ((u, v), (v, u)):
        within, between = (own @ own.T / 0.4).exp(), (own @ other.T / 0.4).exp()
        for i in range(NODES):  # eq. 1 and 2 of arXiv 2006.04131
            negatives = sum(within[i, k] + between[i, k] for k in range(NODES) if k != i)
            terms.append(-torch.log(between[i, i] / (between[i, i] + negatives)).item())
    assert InfoNCE(0.4)(pairs).item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_pairs_are_all_nodes_in_two_views(locate: Locate) -> None:
    pairs = TINY.task(context(locate)).objective(Step(0, 0, 0)).pairs
    assert pairs is not None
    assert pairs.similarity.shape == (2 * NODES, 2 * NODES)
    assert pairs.index.tolist() == [*range(NODES)] * 2


def test_views_differ_between_steps_and_between_the_two_of_a_step(locate: Locate) -> None:
    task = TINY.task(context(locate))
    (_, edges1, kept1), (_, edges2, kept2) = task.views(Step(0, 0, 0))
    later, _ = task.views(Step(1, 1, 0))
    assert edges1.shape[1] > edges2.shape[1]  # a fifth dropped, and two fifths
    assert not torch.equal(kept1, kept2)
    assert not torch.equal(kept1, later[2])


# --- seeds and resumption --------------------------------------------------------------------------------------------


def test_seeds_differ_in_weights_views_and_splits(locate: Locate) -> None:
    one, two = (TINY.task(context(locate, seed)) for seed in (0, 1))
    assert not torch.equal(weights(one), weights(two))
    assert not np.array_equal(one.splits[0].train, two.splits[0].train)
    two.model.load_state_dict(one.model.state_dict())
    assert not torch.equal(similarity(one), similarity(two))


def test_a_resumed_supervised_run_ends_in_the_same_bits(locate: Locate, tmp_path: Path) -> None:
    def save(path: Path, state: object) -> None:
        torch.save(state, path)

    undisturbed, stopped, resumed = (supervised(locate) for _ in range(3))
    train(undisturbed, None, context(locate).streams)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", due=lambda: False, save=save)
    with pytest.raises(Interrupted):
        train(stopped, None, context(locate).streams, checkpoint=checkpoint, stop=lambda: True)
    train(resumed, None, context(locate).streams, checkpoint=checkpoint)
    assert torch.equal(weights(resumed), weights(undisturbed))


# --- no leak ---------------------------------------------------------------------------------------------------------


def relabelled(folder: Path, chosen: np.ndarray) -> Locate:
    """Return the graph with other classes at the chosen nodes."""
    nodes, citations = tables()
    subject = nodes["subject"].to_numpy().copy()
    subject[chosen] = (subject[chosen] + 1) % 3
    return write_graph(folder, nodes.assign(subject=subject), citations)


def test_contrastive_training_sees_no_label(locate: Locate, tmp_path: Path) -> None:
    other = relabelled(tmp_path, np.arange(NODES))
    one, two = (trained(where, InfoNCE(0.4)) for where in (locate, other))
    assert torch.equal(weights(one), weights(two))
    assert one.diagnostics() == two.diagnostics()


def test_labels_of_test_nodes_reach_neither_training_nor_validation(locate: Locate, tmp_path: Path) -> None:
    task = TINY.task(context(locate))
    other = relabelled(tmp_path, task.splits[0].test)
    for name in ("raw", "chance"):
        one, two = (TINY.task(context(where)).reference(name) for where in (locate, other))
        assert isinstance(one, dict)
        assert isinstance(two, dict)
        assert one["val/accuracy"] == two["val/accuracy"]
        assert one["test/accuracy"] != two["test/accuracy"]
    tasks = [supervised(where) for where in (locate, other)]
    for each in tasks:
        train(each, None, each.context.streams)
    assert torch.equal(weights(tasks[0]), weights(tasks[1]))
    assert tasks[0].evaluate("val") == tasks[1].evaluate("val")


def test_labels_of_validation_nodes_do_not_train_the_supervised_reference(locate: Locate, tmp_path: Path) -> None:
    other = relabelled(tmp_path, TINY.task(context(locate)).splits[0].val)
    tasks = [supervised(where) for where in (locate, other)]
    for each in tasks:
        train(each, None, each.context.streams)
    assert torch.equal(weights(tasks[0]), weights(tasks[1]))


# --- evaluation and references ---------------------------------------------------------------------------------------


def test_evaluation_follows_the_weights(locate: Locate) -> None:
    task = TINY.task(context(locate))
    untrained = task.evaluate("test")
    task.model.encoder.load_state_dict(trained(locate, InfoNCE(0.4), seed=3).model.encoder.state_dict())
    embeddings = task.model.encoder(task.features, task.graph.edges).detach().numpy()
    assert task.evaluate("test") == LinearEvaluation(embeddings, task.labels, task.splits)("test") != untrained


def test_embeddings_that_are_equal_but_not_zero_are_at_chance(locate: Locate) -> None:
    task = TINY.task(context(locate))
    with torch.no_grad():
        task.model.encoder.out.lin.weight.zero_()
        task.model.encoder.out.bias.fill_(1.0)
    assert evaluate(task) == task.reference("chance")


def test_references_give_the_metrics_of_a_run(locate: Locate) -> None:
    task = TINY.task(context(locate))
    names = {"val/accuracy", "val/macro_f1", "test/accuracy", "test/macro_f1"}
    for metrics in (evaluate(task), task.reference("raw"), task.reference("chance"), evaluate(supervised(locate))):
        assert set(metrics) == names  # type: ignore[arg-type]


def test_diagnostics_are_of_the_nodes_that_validate(locate: Locate) -> None:
    task = TINY.task(context(locate))
    embeddings = task.model.encoder(task.features, task.graph.edges).detach()
    rows = [embeddings[node] for node in sorted(task.splits[0].val)]
    assert len(rows) == NODES // 10
    assert task.diagnostics()["uniformity"] == pytest.approx(geometry.uniformity(torch.stack(rows)), rel=1e-6)
    assert 1 < task.diagnostics()["effective_rank"] < TINY.width


def test_supervised_starts_from_the_same_encoder_and_learns_the_classes(locate: Locate) -> None:
    settings = replace(TINY, epochs=60)
    task, reference = settings.task(context(locate)), supervised(locate, settings)
    own = reference.model.encoder.state_dict()
    assert all(torch.equal(weight, own[name]) for name, weight in task.model.encoder.state_dict().items())
    before = reference.evaluate("test")["accuracy"]
    train(reference, None, reference.context.streams)
    assert reference.evaluate("test")["accuracy"] > max(before, 0.6)


# --- real data -------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_published_configuration() -> None:
    published = NodeClassification("cora", 200, 5e-4, 1e-5, 128, "relu", 0.2, 0.4, 0.3, 0.4, 3)
    assert published == NodeClassification()


@pytest.mark.data
def test_cora_has_the_published_size_and_the_known_baselines() -> None:
    task = NodeClassification(splits=1).task(context(real))
    graph = task.graph
    assert graph.features.shape == (2708, 1433)
    assert graph.edges.shape == (2, 2 * 5278)
    assert torch.bincount(graph.labels).tolist() == [818, 180, 217, 426, 351, 418, 298]
    assert (graph.edges[0] != graph.edges[1]).all()
    raw, chance = task.reference("raw"), task.reference("chance")
    assert isinstance(raw, dict)
    assert isinstance(chance, dict)
    assert chance["test/accuracy"] == pytest.approx(818 / 2708, abs=0.01)
    assert raw["test/accuracy"] == pytest.approx(0.65, abs=0.03)


@pytest.mark.data
def test_a_few_epochs_beat_the_untrained_encoder_on_cora() -> None:
    settings = NodeClassification(epochs=4, splits=1)
    untrained = settings.task(context(real)).evaluate("test")["accuracy"]
    assert trained(real, InfoNCE(0.4), settings=settings).evaluate("test")["accuracy"] > untrained + 0.03
