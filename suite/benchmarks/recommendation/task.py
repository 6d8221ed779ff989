"""Sequential recommendation as a benchmark: its settings, its objective, its references."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions, functional

from suite.benchmarks.recommendation.augment import Augmentation
from suite.benchmarks.recommendation.data import PADDING, Sequences, Split
from suite.benchmarks.recommendation.encoder import SASRec
from suite.benchmarks.recommendation.evaluate import over_users, ranking_gains, sampled_gains
from suite.benchmarks.recommendation.files import Collection, load
from suite.benchmarks.recommendation.item_graph import ItemGraph, last_items
from suite.benchmarks.schedule import warm_up_and_cosine
from suite.losses.steps import Step
from suite.pairs import EmbeddedPairs, cross_view, two_view
from suite.pairs.gather import weighted
from suite.parameters import Count, Fraction, NonNegative, Positive
from suite.training import Batches, Context, Metrics, Objective, Task, geometry, on_both_splits
from suite.training.streams import Streams

#: Sampled negatives are the same whatever the run's seed and loss: what differs between runs is the model.
ONCE_AND_FOR_ALL: Final = Streams(0)
#: Users whose scores of all items are in memory at once.
USERS_AT_ONCE = 1024
DIAGNOSED_USERS = 1024


@dataclass(frozen=True)
class SequentialRecommendation:
    """SASRec with a contrastive term on cosine similarity.

    Kang & McAuley 2018 (arXiv 1808.09781) with the softmax over all items of later implementations in place of one
    sampled negative. One sample is one random window of one user's training items, drawn anew every epoch. A step
    minimises the mean next-item cross-entropy over all positions plus ``contrastive_weight`` times the loss of the
    framework's pairs:

    - ``cl4srec`` (Xie et al. 2022, arXiv 2010.14395) pools two augmented views of each window, with the cosine in place
      of the dot product;
    - ``dcrec`` (Yang et al. 2023, arXiv 2303.11780) sets each window against its last item as the graph of all users'
      items has it, in one direction. It is the first of the two contrastive terms of the authors' code, every user
      weighing the same; the second, between two graphs, and the graphs in the prediction are left out.

    Evaluated are the scores of the items that a user has not seen: ``hr_<k>`` and ``ndcg_<k>`` rank all of them.
    Secondary are ``uni100_...`` and ``pop100_...`` against 100 of them, drawn alike or by their count in the training
    items; see :func:`~suite.benchmarks.recommendation.evaluate.sampled_gains` for why no more than that.

    Attributes
    ----------
    dataset : str
        Name of the collection in the catalogue.
    framework : "cl4srec" or "dcrec"
    epochs, batch : int
        Passes over the users; users a step.
    learning_rate, weight_decay : float
        AdamW, with linear warm-up over the share `warmup` of training and a cosine to zero after it.
    warmup : float
    contrastive_weight : float
        0 computes no views. The default is that of CL4SRec's, DuoRec's and DCRec's code.
    length, width, layers, heads : int
        SASRec's size; `heads` divides `width`.
    dropout : float
    crop, mask, reorder : float
        Shares of CL4SRec's augmentations: eta, gamma, beta.
    edge_drop : float
        Probability with which DCRec drops an edge of its graph, in one direction, at a step.
    """

    distributed: ClassVar[bool] = True

    dataset: Collection = "movielens_100k"
    framework: Literal["cl4srec", "dcrec"] = "cl4srec"
    epochs: Count = 14
    batch: Count = 32
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 0.01
    warmup: Fraction = 0.1
    contrastive_weight: NonNegative = 0.1
    length: Count = 50
    width: Count = 64
    layers: Count = 2
    heads: Count = 2
    dropout: Fraction = 0.2
    crop: Fraction = 0.6
    mask: Fraction = 0.3
    reorder: Fraction = 0.6
    edge_drop: Fraction = 0.5

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} and {self.width}")

    def task(self, context: Context) -> RecommendationTask:
        """Load the collection and draw the weights of the context's seed."""
        return RecommendationTask(self, context)


class RecommendationTask(Task):
    """One seed of :class:`SequentialRecommendation`."""

    model: SASRec

    def __init__(self, settings: SequentialRecommendation, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.split: Split = load(settings.dataset, context.data)
        self.train = self.split.train.to(context.device)
        with context.streams.seeded("weights"):
            self.model = SASRec(
                self.split.n_items, settings.length, settings.width, settings.layers, settings.heads, settings.dropout
            )
        self.model.to(context.device)
        self.augmentation = Augmentation(settings.crop, settings.mask, settings.reorder, self.model.mask_token)
        self.pairs = {"cl4srec": self._of_two_views, "dcrec": self._against_items}[settings.framework]
        if settings.framework == "dcrec":
            self.item_graph = ItemGraph.of(self.train, self.split.n_items)
        self.batches = Batches(len(self.train), settings.batch, context.streams)
        self.samples, self.epochs, self.steps_per_epoch = len(self.train), settings.epochs, self.batches.per_epoch

    def objective(self, step: Step) -> Objective:
        """Return next-item cross-entropy and, with a weight above 0, the framework's pairs of the same windows."""
        users = self.batches[step].to(self.context.device)
        window, length = self._windows(users, step)
        auxiliary = self._next_item_loss(window)
        if self.settings.contrastive_weight == 0:
            return Objective(auxiliary=auxiliary)
        inputs = window[:, : self.settings.length], length.clamp(max=self.settings.length)
        return Objective(self.pairs(*inputs, users, step), auxiliary, self.settings.contrastive_weight)

    def evaluate(self, split: str) -> Metrics:
        """Return HR and NDCG over the items that a user has not seen, and over samples of them."""

        def scores(history: Sequences) -> Tensor:
            with torch.no_grad():
                return self._represent(history) @ self.model.catalogue().T

        return self._rank(scores, split)

    def diagnostics(self) -> Metrics:
        """Return the uniformity and effective rank of some users' representations, given their validation histories."""
        users = self._represent(self.split.val.history.between(0, DIAGNOSED_USERS))
        return {"uniformity": geometry.uniformity(users), "effective_rank": geometry.effective_rank(users)}

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``popularity``, ``untrained``, or the task ``no_contrast``.

        ``chance`` is the expectation over all random orders of the items, so that no random ranking need be drawn;
        ``popularity`` ranks by the count in the training items; ``no_contrast`` has weight 0.
        """
        if name == "no_contrast":
            return replace(self.settings, contrastive_weight=0.0).task(self.context)
        if name in ("chance", "popularity"):
            count = self._popularity()
            score = count if name == "popularity" else torch.zeros_like(count)
            return on_both_splits(partial(self._rank, lambda history: score.expand(len(history), -1)))
        return super().reference(name)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        return torch.optim.AdamW(
            groups, lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay, fused=True
        )

    def rate(self, progress: float) -> float:
        """Return the factor of linear warm-up and cosine decay."""
        return warm_up_and_cosine(progress, 1.0 / (self.epochs * self.steps_per_epoch), self.settings.warmup)

    def _windows(self, users: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        width = self.settings.length + 1
        spare = (self.train.lengths[users] - width).clamp(min=0)
        generator = self._generator("windows", step)
        draw = torch.rand(users.shape, dtype=torch.float64, generator=generator, device=users.device)
        return self.train.windows(users, (draw * (spare + 1)).long(), width)

    def _next_item_loss(self, window: Tensor) -> Tensor:
        hidden = self.model(window[:, :-1])
        target = window[:, 1:]
        known = target != PADDING
        # Chunked: the [positions, items] logits never exist at once, which more than halves the time on a CPU.
        loss: Tensor = functional.linear_cross_entropy(
            hidden[known], self.model.catalogue(), target[known], options=LinearCrossEntropyOptions()
        )
        return weighted(loss, known.sum())

    def _of_two_views(self, window: Tensor, length: Tensor, users: Tensor, step: Step) -> EmbeddedPairs:
        generator = self._generator("views", step)
        (view1, length1), (view2, length2) = (self.augmentation(window, length, generator) for _ in range(2))
        z1, z2 = self.model.last(torch.cat([view1, view2]), torch.cat([length1, length2])).chunk(2)
        return two_view(z1, z2, users)

    def _against_items(self, window: Tensor, length: Tensor, users: Tensor, step: Step) -> EmbeddedPairs:
        generator = self._generator("edges", step)
        among = self.item_graph.embeddings(self.model.catalogue(), self.settings.edge_drop, generator)
        return cross_view(self.model.last(window, length), among[last_items(window, length)], users)

    def _represent(self, history: Sequences) -> Tensor:
        """Return the users' representations given their histories, without dropout: [users, width]."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            users = self.model.last(*history.to(self.context.device).last(self.settings.length))
        self.model.train(training)
        return users

    def _rank(self, scores: Callable[[Sequences], Tensor], split: str) -> Metrics:
        """Return the metrics of scores of all items: [users, n_items + 1], given their histories."""
        held_out = {"val": self.split.val, "test": self.split.test}[split]
        count = self._popularity()
        weights = {"uni100": torch.ones_like(count), "pop100": count}
        draws = {name: ONCE_AND_FOR_ALL.numpy(f"{name} {split}") for name in weights}
        full, sampled = [], []
        for start in range(0, len(held_out.target), USERS_AT_ONCE):
            history = held_out.history.between(start, start + USERS_AT_ONCE).to(self.context.device)
            target = held_out.target[start : start + USERS_AT_ONCE].to(self.context.device)
            excluded = history.members(self.split.n_items)
            excluded[:, PADDING] = True
            scored = scores(history), target, excluded
            full.append(ranking_gains(*scored))
            sampled.append(
                {
                    f"{name}_{metric}": gain
                    for name, draw in draws.items()
                    for metric, gain in sampled_gains(*scored, weights[name], draw).items()
                }
            )
        metrics = over_users(full)
        metrics |= dict(over_users(sampled))
        return metrics

    def _popularity(self) -> Tensor:
        """Return how often each item occurs in the training items: int64 [n_items + 1]."""
        return torch.bincount(self.train.items, minlength=self.split.n_items + 1)

    def _generator(self, stream: str, step: Step) -> torch.Generator:
        return self.context.streams.torch(stream, step.index, device=self.context.device)
