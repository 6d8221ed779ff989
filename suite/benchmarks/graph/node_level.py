"""GRACE on a citation graph: the benchmark and its references."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.graph.augment import drop_edges, keep_features
from suite.benchmarks.graph.data import load, split
from suite.benchmarks.graph.encoder import GCN, Model, Sparse, projection_head
from suite.benchmarks.graph.evaluate import LinearEvaluation, evaluated, majority
from suite.losses.steps import Step
from suite.pairs import two_view
from suite.parameters import Count, Fraction, NonNegative, Positive
from suite.training import Context, Metrics, Objective, Task, geometry, on_both_splits

SUPERVISED_RATE, SUPERVISED_DECAY, SUPERVISED_EPOCHS = 0.01, 5e-4, 200
ACTIVATIONS: Final[Mapping[str, Callable[[], nn.Module]]] = {"relu": nn.ReLU, "prelu": nn.PReLU}


@dataclass(frozen=True)
class NodeClassification:
    """GRACE (Zhu et al. 2020, arXiv 2006.04131) on a citation graph, by default Cora as the authors' code has it.

    A step sees the whole graph: two views of it, edges and features dropped, are embedded, and the two embeddings of a
    node are each other's positives among all nodes of both views. Labels are not used in training. Evaluated are the
    encoder's embeddings of the whole graph, before the projection head, by logistic regression on a tenth of the
    labels (see :class:`~suite.benchmarks.graph.evaluate.LinearEvaluation`), a tenth choosing its penalty and 80 %
    testing it. The splits are random, as in the paper, and are not Planetoid's public split; unlike the paper's,
    they share their validation nodes over all seeds (see :func:`~suite.benchmarks.graph.data.split`). Metrics are means
    over the splits of a run.

    Attributes
    ----------
    dataset : str
        Name of the citation graph in the catalogue.
    epochs : int
        Steps; the published training has 200 on Cora and CiteSeer, 1,500 on PubMed, 1,000 on DBLP.
    learning_rate, weight_decay : float
        Of Adam; the rate is constant.
    width : int
        Width of the embeddings; the encoder's hidden layer is twice as wide, the head's as wide.
    activation : "relu" or "prelu"
        After each convolution.
    edge_drop_1, edge_drop_2, feature_drop_1, feature_drop_2 : float
        Probabilities of dropping an edge, and a feature, in the first and in the second view.
    splits : int
        How often a run draws training and test nodes; the authors' code does it three times.
    """

    dataset: Literal["cora", "citeseer", "pubmed", "dblp"] = "cora"
    epochs: Count = 200
    learning_rate: Positive = 5e-4
    weight_decay: NonNegative = 1e-5
    width: Count = 128
    activation: Literal["relu", "prelu"] = "relu"
    edge_drop_1: Fraction = 0.2
    edge_drop_2: Fraction = 0.4
    feature_drop_1: Fraction = 0.3
    feature_drop_2: Fraction = 0.4
    splits: Count = 3

    def task(self, context: Context) -> ContrastiveTask:
        """Load the graph and draw the weights and splits of the context's seed."""
        return ContrastiveTask(self, context)


class NodeTask(Task):
    """What contrastive and supervised training share: graph, encoder, views, splits.

    Parameters
    ----------
    settings : NodeClassification
    context : Context
    """

    model: Model

    def __init__(self, settings: NodeClassification, context: Context) -> None:
        self.settings = settings
        self.context = context
        graph = load(settings.dataset, context.data)
        self.graph = graph.to(context.device)
        words = self.graph.features
        row, column = words.indices()
        self.features = Sparse.of(row, column, words.values(), (words.shape[0], words.shape[1]))
        self.labels = graph.labels.numpy()
        draws = (context.streams.numpy("split", number) for number in range(settings.splits))
        self.splits = [split(len(graph), draw) for draw in draws]
        with context.streams.seeded("weights"):
            encoder = GCN(graph.features.shape[1], settings.width, ACTIVATIONS[settings.activation]())
            self.model = Model(encoder, self.head()).to(context.device)
        self.samples, self.epochs, self.steps_per_epoch = len(graph), settings.epochs, 1

    @abc.abstractmethod
    def head(self) -> nn.Module:
        """Return a new head for the encoder: [nodes, width] -> [nodes, outputs]."""

    def views(self, step: Step) -> tuple[tuple[Sparse, Tensor, Tensor], tuple[Sparse, Tensor, Tensor]]:
        """Return features and edges of a step's two views of the graph, and the features that are kept."""
        settings, graph, count = self.settings, self.graph, self.graph.features.shape[1]
        generator = self.context.streams.torch("views", step.index, device=self.context.device)
        drawn = (
            (keep_features(count, feature_drop, generator), drop_edges(graph.edges, edge_drop, generator))
            for feature_drop, edge_drop in (
                (settings.feature_drop_1, settings.edge_drop_1),
                (settings.feature_drop_2, settings.edge_drop_2),
            )
        )
        first, second = ((self.features, edges, kept) for kept, edges in drawn)
        return first, second

    def embeddings(self) -> Tensor:
        """Return the encoder's embeddings of the whole graph: [nodes, width]."""
        with torch.no_grad():
            embeddings: Tensor = self.model.encoder(self.features, self.graph.edges)
        return embeddings

    def diagnostics(self) -> Metrics:
        """Return the uniformity and effective rank of the embeddings of the nodes that validate; no label is seen."""
        some = self.embeddings()[torch.from_numpy(self.splits[0].val).to(self.context.device)]
        return {"uniformity": geometry.uniformity(some), "effective_rank": geometry.effective_rank(some)}


class ContrastiveTask(NodeTask):
    """GRACE: two views of a node are each other's positives."""

    def __init__(self, settings: NodeClassification, context: Context) -> None:
        super().__init__(settings, context)
        self._evaluated: tuple[Tensor, LinearEvaluation] | None = None

    def head(self) -> nn.Module:
        """Return GRACE's projection head."""
        return projection_head(self.settings.width, self.settings.width, nn.ELU())

    def objective(self, step: Step) -> Objective:
        """Return the pairs of all nodes in two views."""
        first, second = (self.model(*view) for view in self.views(step))
        return Objective(pairs=two_view(first, second))

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the encoder's embeddings on the nodes of split ``"val"`` or ``"test"``."""
        embeddings = self.embeddings().cpu()
        # The second split meets the same embeddings: its classifiers need no second fit.
        if self._evaluated is None or not torch.equal(self._evaluated[0], embeddings):
            self._evaluated = embeddings, LinearEvaluation(embeddings.numpy(), self.labels, self.splits)
        return self._evaluated[1](split)

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw`` (bags of words as features), ``untrained`` or ``supervised``.

        ``chance`` gives every node the most frequent class of the training nodes, as a constant embedding does.
        ``supervised`` is a task: the same encoder and views, trained on the labels of the first split's training nodes.
        """
        if name == "chance":
            return on_both_splits(partial(majority, self.labels, self.splits))
        if name == "raw":
            words = sparse.csr_array(self.graph.features.cpu().to_dense().numpy())
            return on_both_splits(LinearEvaluation(words, self.labels, self.splits))
        if name == "supervised":
            return SupervisedTask(self.settings, self.context)
        return super().reference(name)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return Adam."""
        settings = self.settings
        return torch.optim.Adam(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


class SupervisedTask(NodeTask):
    """The upper reference: the same encoder and views, cross-entropy on a tenth of the labels, at a GCN's usual rate.

    Rate, decay and the 200 epochs are those of Kipf & Welling 2017 (arXiv 1609.02907); in a shorter profile, five times
    the contrastive epochs at most, since a step costs about a fifth. Evaluated are its own predictions.
    """

    def __init__(self, settings: NodeClassification, context: Context) -> None:
        super().__init__(settings, context)
        self.epochs = min(SUPERVISED_EPOCHS, 5 * settings.epochs)

    def head(self) -> nn.Module:
        """Return a linear classifier."""
        return nn.Linear(self.settings.width, self.graph.classes)

    def objective(self, step: Step) -> Objective:
        """Return the mean cross-entropy of the first split's training nodes in both views."""
        train = torch.from_numpy(self.splits[0].train).to(self.context.device)
        logits = torch.cat([self.model(*view)[train] for view in self.views(step)])
        return Objective(auxiliary=functional.cross_entropy(logits, self.graph.labels[train].repeat(2)))

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the predicted classes on the first split's nodes."""
        with torch.no_grad():
            predicted = self.model(self.features, self.graph.edges).argmax(dim=1).cpu().numpy()
        nodes = self.splits[0].part(split)
        return evaluated(self.labels, [nodes], [predicted[nodes]])

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(groups, lr=SUPERVISED_RATE, weight_decay=SUPERVISED_DECAY, fused=True)
