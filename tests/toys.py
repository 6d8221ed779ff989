"""Benchmarks and losses for tests: seconds short, with knobs for faults."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from suite.losses.base import LogitLoss, Loss
from suite.pairs import Pairs, two_view
from suite.parameters import Count, NonNegative
from suite.training import Batches, Context, Evaluated, Metrics, Objective, Outcomes, Step, Task


@dataclass(frozen=True)
class Blobs:
    """Points around centres, two noisy views each: trains for real, in milliseconds a step."""

    epochs: Count = 2
    batch: Count = 32
    pause_s: NonNegative = 0.0

    def task(self, context: Context) -> Task:
        return BlobsTask(self, context)


class BlobsTask(Task):
    def __init__(self, settings: Blobs, context: Context) -> None:
        self.settings = settings
        self.context = context
        draw = torch.Generator().manual_seed(0)
        self.labels = torch.arange(320) % 8
        self.points = torch.randn(8, 16, generator=draw)[self.labels] + torch.randn(320, 16, generator=draw)
        self.batches = Batches(256, settings.batch, context.streams)
        self.samples, self.epochs, self.steps_per_epoch = 256, settings.epochs, self.batches.per_epoch
        with context.streams.seeded("weights"):
            self.model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 8))

    def objective(self, step: Step) -> Objective:
        time.sleep(self.settings.pause_s)
        items = self.batches[step]
        noise = self.context.streams.torch("augmentation", step.index)
        points = self.points[items]
        views = [points + 0.3 * torch.randn(points.shape, generator=noise) for _ in range(2)]
        return Objective(two_view(self.model(views[0]), self.model(views[1]), items))

    def evaluate(self, split: str) -> Metrics:
        self.model.eval()
        chosen = slice(256, 288) if split == "val" else slice(288, 320)
        with torch.no_grad():
            gallery, queries = self.model(self.points[:256]), self.model(self.points[chosen])
        nearest = torch.cdist(queries, gallery).argmin(dim=1)
        right = self.labels[:256][nearest] == self.labels[chosen]
        return Evaluated({"accuracy": right.double().mean().item()}, {"accuracy": Outcomes("mean", right.numpy())})

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> Any:
        return Descent(groups)

    def reference(self, name: str) -> Metrics | Task:
        if name == "chance":
            return {"val/accuracy": 1 / 8, "test/accuracy": 1 / 8}
        return super().reference(name)


class Descent:
    """Gradient descent with momentum. Torch's own optimisers import its compiler: seconds in each of many workers."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        self.param_groups = [{"lr": 0.05, **group} for group in groups]
        self.parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self.momenta = [torch.zeros_like(parameter) for parameter in self.parameters]

    def zero_grad(self, set_to_none: bool) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        rates = [group["lr"] for group in self.param_groups for _ in group["params"]]
        for parameter, momentum, rate in zip(self.parameters, self.momenta, rates, strict=True):
            momentum.mul_(0.9).add_(parameter.grad)
            parameter.sub_(rate * momentum)

    def state_dict(self) -> dict[str, Any]:
        return {"momenta": self.momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for momentum, saved in zip(self.momenta, state["momenta"], strict=True):
            momentum.copy_(saved)


class Where(Blobs):
    """Blobs whose accuracy is the number of the GPU that the process sees."""

    def task(self, context: Context) -> Task:
        return WhereTask(self, context)


class WhereTask(BlobsTask):
    def evaluate(self, split: str) -> Metrics:
        return {"accuracy": float(os.environ["CUDA_VISIBLE_DEVICES"])}


@dataclass(frozen=True)
class Nothing:
    """Does nothing: what is left is overhead."""

    def task(self, context: Context) -> Task:
        return NothingTask()


class NothingTask(Task):
    samples, epochs, steps_per_epoch = 1, 1, 1

    def __init__(self) -> None:
        self.model = nn.Linear(1, 1, bias=False)

    def objective(self, step: Step) -> Objective:
        return Objective(auxiliary=self.model.weight.square().sum())

    def evaluate(self, split: str) -> Metrics:
        return {"accuracy": 0.5}


class Cosine(LogitLoss):
    """The plainest loss."""

    def __init__(self, scale: float = 5.0) -> None:
        super().__init__()
        self.scale = scale

    def logits(self, similarity: Tensor) -> Tensor:
        return self.scale * similarity


class Explodes(Loss):
    """NaN from the third call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, pairs: Pairs) -> Tensor:
        self.calls += 1
        return pairs.similarity.sum() * (float("nan") if self.calls > 2 else 1.0)


class Raises(Loss):
    """A user's mistake."""

    def forward(self, pairs: Pairs) -> Tensor:
        raise KeyError("no such thing")


class Dies(Loss):
    """Takes its worker down."""

    def forward(self, pairs: Pairs) -> Tensor:
        os._exit(9)


class Greedy(Loss):
    """Runs out of memory unless it has its array task to itself."""

    def forward(self, pairs: Pairs) -> Tensor:
        if sys.argv[-1] != "1":  # the last argument of suite.work.worker: how many workers there are
            raise MemoryError("out of memory")
        return pairs.similarity.sum()
