"""The graph benchmark as a whole, on a small synthetic graph in Cora's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.graph import NodeClassification
from suite.benchmarks.graph.evaluate import LinearEvaluation
from suite.benchmarks.graph.node_level import ContrastiveTask, SupervisedTask
from suite.data import locate as real
from suite.losses import DySTreSS, InfoNCE, Loss, TemperatureFree
from suite.steps import Step
from suite.training import Checkpoint, Interrupted, Task, evaluate, train
from tests.benchmarks.graph_factory import FAMILY, NODES, TINY, Locate, context, tables, write_graph


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
    (features1, edges1), (features2, edges2) = task.views(Step(0, 0, 0))
    later, _ = task.views(Step(1, 1, 0))
    assert edges1.shape[1] > edges2.shape[1]  # a fifth dropped, and two fifths
    assert not torch.equal(features1.to_dense(), features2.to_dense())
    assert not torch.equal(features1.to_dense(), later[0].to_dense())


# --- paired seeds, repetition, resumption ----------------------------------------------------------------------------


def test_one_seed_gives_all_losses_the_same_start_views_and_splits(
    locate: Locate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [TINY.task(context(locate)) for _ in range(2)]
    assert torch.equal(weights(tasks[0]), weights(tasks[1]))
    seen: list[list[Tensor]] = [[], []]
    for task, loss, record in zip(tasks, (InfoNCE(0.1), TemperatureFree()), seen, strict=True):
        forward = task.model.forward

        def spy(
            features: Tensor,
            edges: Tensor,
            forward: Callable[[Tensor, Tensor], Tensor] = forward,
            record: list[Tensor] = record,
        ) -> Tensor:
            record.extend([features.to_dense(), edges])
            return forward(features, edges)

        monkeypatch.setattr(task.model, "forward", spy)
        torch.rand(3)
        train(task, loss, task.context.streams)
    assert not torch.equal(weights(tasks[0]), weights(tasks[1]))
    assert len(seen[0]) == 4 * TINY.epochs
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    for one, two in zip(tasks[0].splits, tasks[1].splits, strict=True):
        assert np.array_equal(one.train, two.train)


def test_seeds_differ_in_weights_views_and_splits(locate: Locate) -> None:
    one, two = (TINY.task(context(locate, seed)) for seed in (0, 1))
    assert not torch.equal(weights(one), weights(two))
    assert not np.array_equal(one.splits[0].train, two.splits[0].train)
    two.model.load_state_dict(one.model.state_dict())
    assert not torch.equal(similarity(one), similarity(two))


@pytest.mark.parametrize("loss", [lambda: InfoNCE(0.4), TemperatureFree, DySTreSS], ids=["infonce", "free", "dystress"])
def test_one_seed_gives_the_same_bits(locate: Locate, loss: Callable[[], Loss]) -> None:
    first = trained(locate, loss())
    torch.rand(7)
    again = trained(locate, loss())
    assert torch.equal(weights(first), weights(again))
    assert evaluate(first) == evaluate(again)


@pytest.mark.parametrize("stopped_after", [1, 3])
@pytest.mark.parametrize("kind", ["contrastive", "supervised"])
def test_a_resumed_run_ends_in_the_same_bits(locate: Locate, tmp_path: Path, stopped_after: int, kind: str) -> None:
    def build() -> tuple[Task, Loss | None]:
        if kind == "supervised":
            return supervised(locate), None
        return TINY.task(context(locate)), InfoNCE(0.4)

    def save(path: Path, state: object) -> None:
        torch.save(state, path)

    streams = context(locate).streams
    undisturbed, loss = build()
    train(undisturbed, loss, streams)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", due=lambda: False, save=save)
    done: list[int] = []
    task, loss = build()
    with pytest.raises(Interrupted):
        train(
            task,
            loss,
            streams,
            report=lambda step, metrics: done.append(step.index),
            checkpoint=checkpoint,
            stop=lambda: len(done) == stopped_after,
        )
    resumed, loss = build()
    train(resumed, loss, streams, checkpoint=checkpoint)
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert resumed.evaluate("val") == undisturbed.evaluate("val")


# --- no leak ---------------------------------------------------------------------------------------------------------


def relabelled(folder: Path, chosen: np.ndarray) -> Locate:
    """Return the graph with other classes at the chosen nodes."""
    nodes, citations = tables()
    subject = nodes["subject"].to_numpy().copy()
    subject[chosen] = (subject[chosen] + 1) % 3
    return write_graph(folder, nodes.assign(subject=subject), citations)


def test_contrastive_training_sees_no_label(locate: Locate, tmp_path: Path) -> None:
    other = relabelled(tmp_path, np.arange(NODES))
    assert torch.equal(weights(trained(locate, InfoNCE(0.4))), weights(trained(other, InfoNCE(0.4))))


def test_labels_of_test_nodes_reach_neither_training_nor_validation(locate: Locate, tmp_path: Path) -> None:
    # Of several splits, one's test nodes are another's training nodes.
    assert TINY.splits == 1
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


def test_evaluation_leaves_no_trace_in_training(locate: Locate) -> None:
    task = TINY.task(context(locate))
    task.model.train()
    before, state = weights(task), torch.get_rng_state()
    first = task.evaluate("val")
    assert task.evaluate("val") == first
    assert task.model.training
    assert torch.equal(weights(task), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_follows_the_weights(locate: Locate) -> None:
    task = TINY.task(context(locate))
    untrained = task.evaluate("test")
    task.model.encoder.load_state_dict(trained(locate, InfoNCE(0.4), seed=3).model.encoder.state_dict())
    embeddings = task.model.encoder(task.graph.features, task.graph.edges).detach().numpy()
    assert task.evaluate("test") == LinearEvaluation(embeddings, task.labels, task.splits)("test") != untrained


def test_a_constant_encoder_is_at_chance(locate: Locate) -> None:
    task = TINY.task(context(locate))
    with torch.no_grad():
        task.model.encoder.out.lin.weight.zero_()
        task.model.encoder.out.bias.fill_(1.0)
    chance = task.reference("chance")
    assert evaluate(task) == chance
    task.model.encoder.out.bias.data.zero_()
    assert evaluate(task) == chance


def test_references_give_the_metrics_of_a_run_and_unknown_ones_are_refused(locate: Locate) -> None:
    task = TINY.task(context(locate))
    metrics = evaluate(task)
    assert set(metrics) == {"val/accuracy", "val/macro_f1", "test/accuracy", "test/macro_f1"}
    assert task.reference("untrained") == metrics
    for reference in (task.reference("raw"), task.reference("chance"), evaluate(supervised(locate))):
        assert set(reference) == set(metrics)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no reference 'popularity'"):
        task.reference("popularity")


def test_supervised_starts_from_the_same_encoder_and_learns_the_classes(locate: Locate) -> None:
    settings = replace(TINY, epochs=60)
    task, reference = settings.task(context(locate)), supervised(locate, settings)
    own = reference.model.encoder.state_dict()
    assert all(torch.equal(weight, own[name]) for name, weight in task.model.encoder.state_dict().items())
    before = reference.evaluate("test")["accuracy"]
    train(reference, None, reference.context.streams)
    assert reference.evaluate("test")["accuracy"] > max(before, 0.6)


@pytest.mark.parametrize("name", FAMILY)
def test_every_loss_trains_the_encoder(locate: Locate, name: str) -> None:
    task = trained(locate, FAMILY[name](), settings=replace(TINY, epochs=3))
    moved = (weights(task) - weights(TINY.task(context(locate)))).abs()
    assert 0 < float(moved.max()) < 0.1


# --- real data -------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_published_configuration() -> None:
    published = NodeClassification(200, 5e-4, 1e-5, 128, 0.2, 0.4, 0.3, 0.4, 3)
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
