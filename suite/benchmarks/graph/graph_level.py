"""GraphCL on a collection of small graphs: the benchmark and its references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import global_add_pool

from suite.benchmarks.graph.augment import drop_nodes
from suite.benchmarks.graph.encoder import GIN, Model, initialise, projection_head
from suite.benchmarks.graph.evaluate import KernelEvaluation, majority
from suite.benchmarks.graph.tu import Graphs, folds, load
from suite.losses.steps import Step
from suite.pairs import cross_view
from suite.parameters import Count, Fraction, Positive
from suite.training import Batches, Context, Metrics, Objective, Task, geometry, on_both_splits


@dataclass(frozen=True)
class GraphClassification:
    """GraphCL (You et al. 2020, arXiv 2010.13902) on a TU collection, as in the authors' code without labels.

    A step sets graphs against themselves with nodes dropped; the positive does not enter the denominator, whatever the
    loss. Labels are not used in training. Evaluated are the encoder's embeddings, before the projection head, by
    cross-validation (see :class:`~suite.benchmarks.graph.evaluate.KernelEvaluation`). Differences from the code: a
    fifth of the graphs validates and never tests (see :func:`~suite.benchmarks.graph.tu.folds`); only the last epoch is
    evaluated; graphs come in an order drawn anew each epoch, in batches of one size; and nodes are dropped as the paper
    says (the code keeps the edges between the dropped nodes, and loops at the nodes).

    Attributes
    ----------
    dataset : str
        Name of the collection in the catalogue.
    epochs, batch : int
        128 graphs a batch are published; of MUTAG's 188 two batches of 94 leave none out.
    learning_rate : float
        Of Adam; constant.
    width, layers : int
        Of the encoder; an embedding has ``layers * width`` dimensions.
    node_drop : float
        Share of a graph's nodes that the second view lacks.
    folds : int
        Of the graphs that do not validate.
    """

    dataset: Literal["mutag", "proteins", "nci1"] = "mutag"
    epochs: Count = 20
    batch: Count = 94
    learning_rate: Positive = 0.01
    width: Count = 32
    layers: Count = 3
    node_drop: Fraction = 0.1
    folds: Count = 10

    def task(self, context: Context) -> GraphTask:
        """Load the graphs and draw the weights and folds of the context's seed."""
        return GraphTask(self, context)


class GraphTask(Task):
    """One seed of :class:`GraphClassification`."""

    model: Model

    def __init__(self, settings: GraphClassification, context: Context) -> None:
        self.settings = settings
        self.context = context
        graphs = load(settings.dataset.upper(), partial(context.data, settings.dataset))
        self.graphs = graphs.to(context.device)
        self.labels = graphs.labels.numpy()
        self.splits = folds(self.labels, settings.folds, context.streams.numpy("split"))
        self.batches = Batches(len(graphs), settings.batch, context.streams)
        self.samples, self.epochs, self.steps_per_epoch = len(graphs), settings.epochs, self.batches.per_epoch
        size = settings.layers * settings.width
        with context.streams.seeded("weights"):
            encoder = GIN(graphs.features.shape[1], settings.width, settings.layers)
            self.model = Model(encoder, projection_head(size, size, nn.ReLU())).apply(initialise).to(context.device)
        self._evaluated: tuple[Tensor, KernelEvaluation] | None = None

    def views(self, step: Step) -> tuple[Graphs, Graphs, Tensor]:
        """Return a step's graphs, the same with nodes dropped, and their numbers: int64 [batch]."""
        index = self.batches[step].to(self.context.device)
        graphs = self.graphs[index]
        generator = self.context.streams.torch("views", step.index, device=self.context.device)
        return graphs, drop_nodes(graphs, self.settings.node_drop, generator), index

    def objective(self, step: Step) -> Objective:
        """Return the pairs of the step's graphs with their second views."""
        graphs, fewer_nodes, index = self.views(step)
        return Objective(pairs=cross_view(self.model(graphs), self.model(fewer_nodes), index, decoupled=True))

    def embeddings(self) -> Tensor:
        """Return the encoder's embeddings of all graphs, by its running statistics: [graphs, layers * width]."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            embeddings: Tensor = self.model.encoder(self.graphs)
        self.model.train(training)
        return embeddings

    def diagnostics(self) -> Metrics:
        """Return the uniformity and effective rank of the embeddings of the graphs that validate; no label is seen."""
        some = self.embeddings()[torch.from_numpy(self.splits[0].val).to(self.context.device)]
        return {"uniformity": geometry.uniformity(some), "effective_rank": geometry.effective_rank(some)}

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the encoder's embeddings on the graphs of split ``"val"`` or ``"test"``."""
        embeddings = self.embeddings().cpu()
        # The second split meets the same embeddings: its classifiers need no second fit.
        if self._evaluated is None or not torch.equal(self._evaluated[0], embeddings):
            self._evaluated = embeddings, KernelEvaluation(embeddings.numpy(), self.labels, self.splits)
        return self._evaluated[1](split)

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw`` (counts of atoms as features) or ``untrained``.

        ``chance`` gives every graph the most frequent class of the training graphs, as a constant embedding does.
        """
        if name == "chance":
            return on_both_splits(partial(majority, self.labels, self.splits))
        if name == "raw":
            atoms = global_add_pool(self.graphs.features, self.graphs.graph, len(self.graphs))
            return on_both_splits(KernelEvaluation(atoms.cpu().numpy(), self.labels, self.splits))
        return super().reference(name)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(groups, lr=self.settings.learning_rate, fused=True)
