"""The training loop that all benchmarks share, and what a benchmark hands to it.

A :class:`Task` is one seed of a benchmark with its data loaded and its weights drawn. The loop knows nothing of images
or users; the task knows nothing of losses, optimiser steps, checkpoints or records.

A training may be spread over processes (:mod:`suite.training.distributed`): each takes its share of every batch, the
losses gather the embeddings of all, and gradients are averaged. A step then does what one process would do with the
whole batch, but for what is drawn in it.
"""

from __future__ import annotations

import abc
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from suite.compute import PLAIN, Compute
from suite.losses.base import Loss
from suite.losses.steps import Step, Training
from suite.pairs.gather import rank, summed, world_size
from suite.pairs.pairs import Pairs
from suite.training.acceleration import autocast, prepare
from suite.training.distributed import agreed, average_gradients, from_first, with_whole_batch_statistics
from suite.training.evaluated import Metrics, on_both_splits
from suite.training.similarities import Histograms, histograms, similarities
from suite.training.streams import Streams

DIAGNOSED_POINTS = 5
#: Logging passes over all similarities once more: where steps are few and large, half the work of a step.
LEAST_STRIDE = 4


@dataclass(frozen=True)
class Context:
    """What a benchmark may use to build a task.

    Attributes
    ----------
    streams : Streams
        The run's random streams; the only source of randomness.
    device : torch.device
        Where to compute.
    data : callable (dataset, member) -> Path
        The verified local file of a data set member, e.g. ``data("fashion_mnist", "train-labels-idx1-ubyte")``.
    compute : Compute
        What the run trades for speed. The loop does it; a task need not look at it.
    """

    streams: Streams
    device: torch.device
    data: Callable[[str, str], Path]
    compute: Compute = PLAIN


@dataclass(frozen=True)
class Objective:
    """What one step minimises: ``auxiliary + weight * loss(pairs)``.

    Attributes
    ----------
    pairs : Pairs or None
        The contrastive part; None trains on the auxiliary term alone.
    auxiliary : Tensor scalar, or None
        The host method's own term (a recommender's next-item loss, say). Where processes share the batch, each gives
        that of its share, and their mean is what counts; see :func:`suite.pairs.gather.weighted`.
    weight : float
        Weight of the contrastive part.
    """

    pairs: Pairs | None = None
    auxiliary: Tensor | None = None
    weight: float = 1.0


class Task(abc.ABC):
    """One seed of a benchmark: model, batches and evaluation.

    Where processes share a training, each has a task of its own, with the same initial weights; only that of the first
    process is evaluated.

    Attributes
    ----------
    model : nn.Module
        All that is trained apart from the loss's own parameters, on the context's device. Initial weights are drawn
        inside ``with streams.seeded("weights")``.
    samples : int
        Size of the training set; the pairs' ``index`` counts from 0 to below it.
    epochs, steps_per_epoch : int
        Length of training.
    """

    model: nn.Module
    samples: int
    epochs: int
    steps_per_epoch: int

    @abc.abstractmethod
    def objective(self, step: Step) -> Objective:
        """Return what step number `step.index` minimises, computed with gradients.

        Draws come from streams at ``step`` counters, so that a resumed run repeats them.
        """

    @abc.abstractmethod
    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the model as it stands on split ``"val"`` or ``"test"``, the primary one among them.

        As :class:`~suite.training.Evaluated` with the outcomes of items where a metric is a statistic of them.
        """

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference figure of this benchmark under the same evaluation.

        Either metrics at once, named in full (``{"val/accuracy": ..., "test/accuracy": ...}``), or a task that is to be
        trained without a contrastive loss and then evaluated. Every benchmark has ``untrained``.

        Raises
        ------
        ValueError
            If the benchmark has no reference of that name.
        """
        if name == "untrained":
            return evaluate(self)
        raise ValueError(f"{type(self).__name__} has no reference {name!r}")

    def diagnostics(self) -> Metrics:
        """Return properties of the features as they stand, to be logged as ``train/<name>`` a few times in training.

        Draws nothing from torch's default generators, changes nothing, and never looks at a test item.
        """
        return {}

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimiser for the parameter groups (the model's first, then the loss's if it has any)."""
        return torch.optim.AdamW(groups, lr=1e-3)

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Return the modules whose forward passes are compiled where a run asks for it.

        A benchmark that has some says ``compiles: ClassVar[bool] = True``.
        """
        return ()

    def rate(self, progress: float) -> float:
        """Return the factor on the learning rate at `progress` in [0, 1) of training."""
        return 1.0


class Batches:
    """Shuffled batches of ``range(size)``, each epoch in the order that stream ``order`` gives it; the rest is dropped.

    Parameters
    ----------
    size : int
        Number of training items.
    batch : int
        Items a batch, in all processes together; capped at `size`.
    streams : Streams

    Raises
    ------
    ValueError
        If the processes that share a batch cannot have equal parts of it.
    """

    def __init__(self, size: int, batch: int, streams: Streams) -> None:
        self.size = size
        self.batch = min(batch, size)
        self.streams = streams
        self.per_epoch = size // self.batch
        processes = world_size()
        if self.batch % processes:
            raise ValueError(
                f"a batch of {self.batch} items has no equal parts for {processes} processes: "
                "change the batch or the number of processes (GPUs)"
            )
        self._share = self.batch // processes
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, step: Step) -> Tensor:
        """Return this process's items of a step: int64 [batch / processes], on the CPU; all one after the other."""
        if step.epoch != self._epoch:
            self._order = torch.randperm(self.size, generator=self.streams.shared.torch("order", step.epoch))
            self._epoch = step.epoch
        first = step.within * self.batch + rank() * self._share
        return self._order[first : first + self._share]


class NonFiniteLoss(ArithmeticError):
    """The loss became NaN or infinite."""

    failure_class = "non_finite"


class Interrupted(Exception):
    """Training was asked to stop; the checkpoint holds where."""


@dataclass
class Checkpoint:
    """Where and how often training is saved.

    Attributes
    ----------
    path : Path
    due : callable () -> bool
        Asked after every step whether to save now.
    save : callable (Path, state) -> None
        Writes the state atomically.
    read : callable (Path) -> bytes or None
        Returns what ``torch.save`` made of the state to continue from; None to begin. It is asked in the first process.
    """

    path: Path
    due: Callable[[], bool]
    save: Callable[[Path, Mapping[str, Any]], None]
    read: Callable[[Path], bytes | None] = lambda path: path.read_bytes() if path.exists() else None


def evaluate(task: Task) -> Metrics:
    """Return the metrics of both splits, as ``val/<name>`` and ``test/<name>``."""
    return on_both_splits(task.evaluate)


def train(
    task: Task,
    loss: Loss | None,
    streams: Streams,
    report: Callable[[Step, Metrics], None] = lambda step, metrics: None,
    checkpoint: Checkpoint | None = None,
    stop: Callable[[], bool] = lambda: False,
    log_points: int = 50,
    report_histograms: Callable[[Histograms], None] = lambda histograms: None,
    compute: Compute = PLAIN,
) -> None:
    """Train a task's model to the end, from its checkpoint if there is one.

    Where processes share the training, each calls this with the same arguments but for its own `streams`. Only the
    first reads and writes the checkpoint and reports; a loss that is not finite, and a stop, end it in all at one step.

    Parameters
    ----------
    task : Task
    loss : Loss or None
        None for a task without a contrastive part.
    streams : Streams
        The same that the task was built from, of this process.
    report : callable (Step, Metrics) -> None
        Called after every step; with ``train/...`` metrics at about `log_points` steps, and with the task's diagnostics
        at :data:`DIAGNOSED_POINTS`, else with none.
    checkpoint : Checkpoint, optional
    stop : callable () -> bool
        Asked after every step; if true, saves a checkpoint and raises.
    log_points : int
        About how many steps report metrics.
    report_histograms : callable (Histograms) -> None
        Called after the last step with the cosines of its positives and negatives, if it had a contrastive part.
    compute : Compute
        What is traded for speed.

    Raises
    ------
    NonFiniteLoss
        At the first step whose loss is NaN or infinite, before it reaches the weights.
    Interrupted
        When `stop` says so.
    PartnerLost
        When another process that shares the training is gone.
    ValueError
        If the streams are those of another process.
    """
    if streams.process != rank():
        raise ValueError(f"this is process {rank()} of the run, its streams are those of process {streams.process}")
    if world_size() > 1:
        task.model = with_whole_batch_statistics(task.model)
    prepare(task.model, list(task.compiled_parts()), compute)
    training = Training(task.samples, task.epochs, task.steps_per_epoch)
    parts: dict[str, Any] = {"model": task.model}
    if loss is not None:
        loss.prepare(training)
        parts["loss"] = loss
    optimizer = parts["optimizer"] = task.optimizer(_groups(task.model, loss))
    base_rates = [group["lr"] for group in optimizer.param_groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    steps = training.steps
    first = _resume(checkpoint, parts)
    task.model.train()
    for index in range(first, steps):
        step = training.step(index)
        if loss is not None:
            loss.start(step)
        for group, base in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = base * task.rate(index / steps)
        # Dropout in torch.nn draws from the default generator: seed it anew so that step n does not depend on step n-1.
        with streams.seeded("step", index):
            with autocast(compute, parameters[0].device):
                objective = task.objective(step)
            terms = _terms(objective, loss)
            total = _total_of_all(terms, step)
            optimizer.zero_grad(set_to_none=True)
            terms.sum().backward()  # type: ignore[no-untyped-call]
            average_gradients(parameters)
            optimizer.step()
        metrics = _training_metrics(objective, loss, total) if _is_point(index, steps, log_points) else {}
        if _is_point(index, steps, DIAGNOSED_POINTS):
            metrics = {**metrics, **_diagnostics(task)}
        if rank() == 0:
            report(step, metrics)
            if index + 1 == steps and objective.pairs is not None and loss is not None:
                report_histograms(histograms(objective.pairs))
        _pause(checkpoint, parts, index + 1, agreed(stop()) and index + 1 < steps)


def _groups(model: nn.Module, loss: Loss | None) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if p.requires_grad]}]
    if loss is not None and list(loss.parameters()):
        groups.append({"params": list(loss.parameters()), "weight_decay": 0.0})
    return groups


def _terms(objective: Objective, loss: Loss | None) -> Tensor:
    """Return what is minimised the sum of, as far as it is this process's: [terms]."""
    terms = []
    if objective.auxiliary is not None:
        terms.append(objective.auxiliary)
    if objective.pairs is not None and loss is not None:
        with torch.autocast(device_type=objective.pairs.device.type, enabled=False):
            terms.append(objective.weight * loss(objective.pairs))
    if not terms:
        raise ValueError("nothing to minimise: the task gives neither pairs for a loss nor an auxiliary term")
    return torch.stack(terms)


def _total_of_all(local: Tensor, step: Step) -> float:
    """Return the loss of the whole batch, given this process's terms; raises in all processes if it is not finite."""
    terms = summed(local.detach()) / world_size()
    total = terms.sum().item()
    if not math.isfinite(total):
        values = ", ".join(f"{term:g}" for term in terms.tolist())
        raise NonFiniteLoss(f"the loss is {total:g} at step {step.index} (epoch {step.epoch}); terms: {values}")
    return total


def _training_metrics(objective: Objective, loss: Loss | None, total: float) -> Metrics:
    metrics = {"train/loss": total}
    if objective.pairs is not None and loss is not None:
        with torch.no_grad():
            metrics |= similarities(objective.pairs)
            metrics |= {f"train/{name}": value for name, value in loss.diagnostics(objective.pairs).items()}
    return metrics


def _is_point(index: int, steps: int, points: int) -> bool:
    """Whether a step is one of about so many evenly spaced ones, at most every fourth; the first and the last are."""
    return index % max(LEAST_STRIDE, steps // points) == 0 or index == steps - 1


def _diagnostics(task: Task) -> Metrics:
    with torch.no_grad():
        return {f"train/{name}": value for name, value in task.diagnostics().items()}


def _resume(checkpoint: Checkpoint | None, parts: Mapping[str, Any]) -> int:
    content = checkpoint.read(checkpoint.path) if checkpoint is not None and rank() == 0 else None
    content = from_first(content)  # processes of several nodes need not see one file at the same time
    if content is None:
        return 0
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])


def _pause(checkpoint: Checkpoint | None, parts: Mapping[str, Any], step: int, stopping: bool) -> None:
    if checkpoint is not None and rank() == 0 and (stopping or checkpoint.due()):
        checkpoint.save(checkpoint.path, {"step": step, **{name: part.state_dict() for name, part in parts.items()}})
    if stopping:
        raise Interrupted(f"stopped after step {step}")
