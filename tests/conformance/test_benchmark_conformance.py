"""The inherited tests of a benchmark: a good one passes, and each kind of mistake fails the test that is for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from suite.conformance.benchmark import BenchmarkConformance
from suite.losses.steps import Step
from suite.pairs import two_view
from suite.training import Batches, Context, Metrics, Objective, Task
from suite.training.streams import Streams

TRAIN, VAL, TEST = slice(0, 64), slice(64, 96), slice(96, 128)
COUNTER = itertools.count()


@dataclass(frozen=True)
class Points:
    """Points around eight centres from a file, with a mistake or none."""

    mistake: str = ""

    def task(self, context: Context) -> Task:
        return PointsTask(context, self.mistake)


class PointsTask(Task):
    def __init__(self, context: Context, mistake: str) -> None:
        self.streams, self.mistake = context.streams, mistake
        self.points = torch.from_numpy(np.load(context.data("points", "points.npy")))
        self.labels = torch.arange(128) % 8
        self.steps_done = 0
        self.batches = Batches(64, 16, self.streams)
        self.samples, self.epochs, self.steps_per_epoch = 64, 2, self.batches.per_epoch
        with self.streams.seeded("weights"):
            self.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))

    def objective(self, step: Step) -> Objective:
        items = self.batches[step]
        self.steps_done += 1
        noise = 0.3
        if self.mistake == "keeps state outside of the model":
            noise *= self.steps_done
        generator: torch.Generator | None = self.streams.torch("views", step.index)
        if self.mistake == "draws from a global generator":
            np.random.seed(next(COUNTER))
            noise *= float(np.random.rand())
        if self.mistake == "draws the same for every seed":
            generator = torch.Generator().manual_seed(step.index)
            items = torch.arange(16)
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.fill_(0.1)
        source = self.points[96:] if self.mistake == "trains on test items" else self.points
        items = items % len(source)
        views = [source[items] + noise * torch.randn(16, 8, generator=generator) for _ in range(2)]
        index = items + 1000 if self.mistake == "numbers its samples from 1000" else items
        return Objective(two_view(*(self.model(view) for view in views), index))

    def evaluate(self, split: str) -> Metrics:
        if self.mistake == "evaluates in another mode and leaves it":
            self.model.eval()
        if self.mistake == "draws while it evaluates":
            torch.rand(1)
        if self.mistake == "is not finite":
            return {"accuracy": float("nan")}
        score = self.score(self.model, VAL if split == "val" else TEST)
        if self.mistake == "chooses on test" and split == "val":
            score = max(score, self.score(self.model, TEST))
        names = {"accuracy": score, **({"extra": 1.0} if self.mistake == "names differ" and split == "val" else {})}
        return names

    def diagnostics(self) -> Metrics:
        return {"spread": self.model(self.points[VAL]).std().item()}

    def score(self, encode: Callable[[Tensor], Tensor], part: slice) -> float:
        with torch.no_grad():
            centres = torch.stack([encode(self.points[TRAIN][label::8]).mean(dim=0) for label in range(8)])
            distances = torch.cdist(encode(self.points[part]), centres)
        nearest = distances == distances.min(dim=1, keepdim=True).values
        hit = (nearest / nearest.sum(dim=1, keepdim=True)).gather(1, self.labels[part].unsqueeze(1))
        return hit.double().mean().item()

    def reference(self, name: str) -> Metrics | Task:
        if name == "chance":
            return {"val/accuracy": 0.2 if self.mistake == "is not at chance" else 1 / 8, "test/accuracy": 1 / 8}
        if name == "raw" and self.mistake != "lacks a reference":
            return {
                f"{split}/accuracy": self.score(lambda x: x, part) for split, part in (("val", VAL), ("test", TEST))
            }
        if self.mistake == "takes any reference" and name != "untrained":
            return {"val/accuracy": 0.0, "test/accuracy": 0.0}
        return super().reference(name)


class OfPoints(BenchmarkConformance):
    primary = "accuracy"
    references = ("chance", "raw", "untrained")
    folder: Path

    def context(self, seed: int) -> Context:
        return Context(Streams(seed), torch.device("cpu"), lambda dataset, file: self.folder / file)

    def with_other_test_items(self, context: Context) -> Context:
        points = np.load(self.folder / "points.npy")
        points[TEST] = np.roll(points[TEST], 1, axis=0)
        (self.folder / "other").mkdir(exist_ok=True)
        np.save(self.folder / "other" / "points.npy", points)
        return replace(context, data=lambda dataset, file: self.folder / "other" / file)


def write_points(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    centres = np.tile(draw.normal(size=(8, 8)), (16, 1))
    np.save(folder / "points.npy", (centres + 0.7 * draw.normal(size=(128, 8))).astype(np.float32))
    return folder


class TestPoints(OfPoints):
    benchmark = Points()

    @pytest.fixture(autouse=True)
    def points(self, tmp_path: Path) -> None:
        self.folder = write_points(tmp_path)


MISTAKES = {
    "draws from a global generator": "test_one_seed_gives_the_same_bits",
    "keeps state outside of the model": "test_a_run_interrupted_at_any_step_ends_in_the_same_bits",
    "draws the same for every seed": "test_another_seed_draws_other_weights_and_views",
    "trains on test items": "test_training_and_selection_touch_no_test_item",
    "chooses on test": "test_training_and_selection_touch_no_test_item",
    "numbers its samples from 1000": "test_pairs_are_numbered_within_the_training_set",
    "evaluates in another mode and leaves it": "test_evaluation_and_diagnostics_change_nothing",
    "draws while it evaluates": "test_evaluation_and_diagnostics_change_nothing",
    "is not finite": "test_both_splits_have_the_same_finite_metrics",
    "names differ": "test_both_splits_have_the_same_finite_metrics",
    "is not at chance": "test_a_constant_encoder_is_at_chance",
    "lacks a reference": "test_references_are_measured_as_the_benchmark_is",
    "takes any reference": "test_an_unknown_reference_is_refused",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_fails_the_test_that_is_for_it(mistake: str, tmp_path: Path) -> None:
    tests: Any = OfPoints()
    tests.benchmark = Points(mistake)
    tests.folder = write_points(tmp_path)
    name = MISTAKES[mistake]
    arguments = [tmp_path] if name == "test_a_run_interrupted_at_any_step_ends_in_the_same_bits" else []
    with pytest.raises((AssertionError, ValueError)):
        getattr(tests, name)(*arguments)


def test_test_items_that_are_not_replaced_are_noticed(tmp_path: Path) -> None:
    class Forgetful(OfPoints):
        benchmark = Points()

        def with_other_test_items(self, context: Context) -> Context:
            return context

    tests = Forgetful()
    tests.folder = write_points(tmp_path)
    with pytest.raises(AssertionError, match="replaces nothing that is evaluated"):
        tests.test_training_and_selection_touch_no_test_item()
