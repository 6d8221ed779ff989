"""DCRec's pairs, the published collections in their own forms, and evaluation of many users."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.recommendation import SequentialRecommendation
from suite.benchmarks.recommendation import task as tasks
from suite.benchmarks.recommendation.data import Sequences
from suite.benchmarks.recommendation.item_graph import ItemGraph
from suite.registry.load import load as load_registry
from suite.training import Context, Step, evaluate
from suite.training.streams import Streams
from tests.benchmarks import test_recommendation
from tests.benchmarks.steps import train_three_steps
from tests.benchmarks.test_recommendation import ITEMS, TINY, context, successors, write

DCREC = replace(TINY, framework="dcrec")
PUBLISHED = ("recommendation_beauty", "recommendation_toys", "recommendation_sports", "recommendation_movielens_1m")


class TestConformance(test_recommendation.TestConformance):
    benchmark = DCREC


# --- the graph of items ----------------------------------------------------------------------------------------------


def propagation(sequences: list[list[int]], items: int) -> Tensor:
    """The graph's matrix by a loop: counts of neighbours, each item its own once, over the roots of the degrees."""
    counts = torch.eye(items + 1)
    for sequence in sequences:
        for before, after in itertools.pairwise(sequence):
            if before != after:
                counts[before, after] += 1
                counts[after, before] += 1
    root = counts.sum(dim=1).rsqrt()
    return root[:, None] * counts * root


def test_embeddings_among_neighbours_are_those_of_the_matrix() -> None:
    lists = [[1, 2, 3, 2, 2], [3, 1], [4]]
    flat = Sequences(torch.tensor([1, 2, 3, 2, 2, 3, 1, 4]), torch.tensor([0, 5, 7, 8]))
    graph = ItemGraph.of(flat, 5)
    items = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    matrix = propagation(lists, 5)
    expected = (items + matrix @ items + matrix @ matrix @ items) / 3 + items
    expected = (expected - expected.mean(dim=1, keepdim=True)) / expected.std(dim=1, keepdim=True, correction=0)
    found = graph.embeddings(items, 0.0, torch.Generator())
    assert torch.allclose(found, expected, atol=1e-4)
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(graph.weights.shape, generator=generator) >= 0.5
    assert 0 < kept.sum() < len(kept)
    fewer = ItemGraph(graph.ends[:, kept], graph.weights[kept]).embeddings(items, 0.0, torch.Generator())
    assert torch.allclose(graph.embeddings(items, 0.5, torch.Generator().manual_seed(0)), fewer, atol=1e-6)


def test_the_graph_holds_training_items_alone(tmp_path: Path) -> None:
    task = DCREC.task(context(write(tmp_path / "log.inter", successors())))
    matrix = propagation([[item + 1 for item in sequence[:-2]] for sequence in successors()], ITEMS)
    dense = torch.zeros_like(matrix)
    dense[tuple(task.item_graph.ends)] = task.item_graph.weights
    assert torch.allclose(dense, matrix, atol=1e-6)


def test_pairs_set_a_window_against_its_last_item_among_all_users(tmp_path: Path) -> None:
    task = replace(DCREC, dropout=0.0, edge_drop=0.0).task(context(write(tmp_path / "log.inter", successors())))
    step = Step(0, 0, 0)
    pairs = task.objective(step).pairs
    assert pairs is not None
    users = task.batches[step].tolist()
    assert pairs.index.tolist() == users
    assert torch.equal(pairs.positive, torch.eye(len(users), dtype=torch.bool))
    assert pairs.candidate.all()
    window, length = task._windows(task.batches[step], step)
    inputs = [row[: min(n, TINY.length)].tolist() for row, n in zip(window, length.tolist(), strict=True)]
    with torch.no_grad():
        queries = torch.stack([task.model(torch.tensor([row]))[0, -1] for row in inputs])
        among = task.item_graph.embeddings(task.model.catalogue(), 0.0, torch.Generator())
        keys = among[[row[-1] for row in inputs]]
    expected = torch.nn.functional.cosine_similarity(queries[:, None], keys, dim=2)
    assert torch.allclose(pairs.similarity, expected, atol=1e-5)


# --- the published collections ---------------------------------------------------------------------------------------


def published_form(folder: Path, dataset: str) -> Context:
    """Return a context with :func:`successors` in the file that a collection comes in."""
    sequences = successors()
    if dataset == "movielens_1m":
        lines = [
            f"{user}::{item + 1}::5::{time}" for user, row in enumerate(sequences) for time, item in enumerate(row)
        ]
    else:
        lines = [" ".join(map(str, (user + 1, *(item + 1 for item in row)))) for user, row in enumerate(sequences)]

    def locate(asked: str, member: str) -> Path:
        assert asked == dataset
        (folder / member).write_text("\n".join(lines) + "\n")
        return folder / member

    return Context(Streams(0), torch.device("cpu"), locate)


@pytest.mark.parametrize("framework", ["cl4srec", "dcrec"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_settings_train_three_steps_and_evaluate(name: str, framework: str, tmp_path: Path) -> None:
    registry = load_registry()
    settings = SequentialRecommendation(**{**registry.settings[name, "paper"], "framework": framework})
    assert (settings.width, settings.layers, settings.heads, settings.length) == (64, 2, 2, 50)
    task = settings.task(published_form(tmp_path, settings.dataset))
    assert task.steps_per_epoch == 1  # a batch holds all users of the miniature
    before = evaluate(task)
    train_three_steps(task, registry.document.benchmarks[name].host_temperature or 0.0)
    after = evaluate(task)
    assert after.keys() == before.keys()
    assert after != before


def test_users_in_parts_score_as_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TINY.task(context(write(tmp_path / "log.inter", successors())))
    whole, popular = evaluate(task), task.reference("popularity")
    monkeypatch.setattr(tasks, "USERS_AT_ONCE", 7)
    parts = evaluate(task)
    assert parts.keys() == whole.keys()
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, abs=1e-9), name
    assert np.array_equal(parts.outcomes["test/hr_5"].values, whole.outcomes["test/hr_5"].values)
    assert task.reference("popularity") == popular
