"""Sequential recommendation as a benchmark: its settings, its objective, its references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions, functional

from suite.benchmarks.recommendation.augment import Augmentation
from suite.benchmarks.recommendation.data import PADDING, HeldOut, Split, load
from suite.benchmarks.recommendation.encoder import SASRec
from suite.benchmarks.recommendation.evaluate import ranking_metrics, sampled_metrics
from suite.benchmarks.schedule import warm_up_and_cosine
from suite.losses.steps import Step
from suite.pairs import two_view
from suite.pairs.gather import weighted
from suite.parameters import Count, Fraction, NonNegative, Positive
from suite.training import Batches, Context, Metrics, Objective, Task, geometry, on_both_splits
from suite.training.streams import Streams

#: Sampled negatives are the same whatever the run's seed and loss: what differs between runs is the model.
ONCE_AND_FOR_ALL: Final = Streams(0)


@dataclass(frozen=True)
class SequentialRecommendation:
    """SASRec on MovieLens-100K with CL4SRec's contrastive term, on cosine similarity.

    Kang & McAuley 2018 (arXiv 1808.09781) with the softmax over all items of later implementations in place of one
    sampled negative; Xie et al. 2022 (arXiv 2010.14395) with the cosine in place of the dot product. One sample is one
    random window of one user's training items, drawn anew every epoch. A step minimises the mean next-item
    cross-entropy over all positions plus ``contrastive_weight`` times the loss of the two views.

    Evaluated are the scores of the items that a user has not seen: ``hr_<k>`` and ``ndcg_<k>`` rank all of them.
    Secondary are ``uni100_...`` and ``pop100_...`` against 100 of them, drawn alike or by their count in the training
    items; see :func:`~suite.benchmarks.recommendation.evaluate.sampled_metrics` for why no more than that.

    Attributes
    ----------
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
    """

    distributed: ClassVar[bool] = True

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

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} and {self.width}")

    def task(self, context: Context) -> RecommendationTask:
        """Load MovieLens-100K and draw the weights of the context's seed."""
        return RecommendationTask(self, context)


class RecommendationTask(Task):
    """One seed of :class:`SequentialRecommendation`."""

    model: SASRec

    def __init__(self, settings: SequentialRecommendation, context: Context) -> None:
        self.settings = settings
        self.context = context
        self.split: Split = load(context.data("movielens_100k", "ml-100k.inter"))
        self.train = self.split.train.to(context.device)
        with context.streams.seeded("weights"):
            self.model = SASRec(
                self.split.n_items, settings.length, settings.width, settings.layers, settings.heads, settings.dropout
            )
        self.model.to(context.device)
        self.augmentation = Augmentation(settings.crop, settings.mask, settings.reorder, self.model.mask_token)
        self.batches = Batches(len(self.train), settings.batch, context.streams)
        self.samples, self.epochs, self.steps_per_epoch = len(self.train), settings.epochs, self.batches.per_epoch

    def objective(self, step: Step) -> Objective:
        """Return next-item cross-entropy and, with a weight above 0, the pairs of two views of the same windows."""
        users = self.batches[step].to(self.context.device)
        window, length = self._windows(users, step)
        auxiliary = self._next_item_loss(window)
        if self.settings.contrastive_weight == 0:
            return Objective(auxiliary=auxiliary)
        generator = self._generator("views", step)
        inputs = window[:, : self.settings.length], length.clamp(max=self.settings.length)
        (view1, length1), (view2, length2) = (self.augmentation(*inputs, generator) for _ in range(2))
        z1, z2 = self.model.last(torch.cat([view1, view2]), torch.cat([length1, length2])).chunk(2)
        return Objective(two_view(z1, z2, users), auxiliary, self.settings.contrastive_weight)

    def evaluate(self, split: str) -> Metrics:
        """Return HR and NDCG over the items that a user has not seen, and over samples of them."""
        with torch.no_grad():
            scores = self._represent(split) @ self.model.catalogue().T
        return self._rank(scores, split)

    def diagnostics(self) -> Metrics:
        """Return the uniformity and effective rank of the users' representations, given their validation histories."""
        users = self._represent("val")
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
            return on_both_splits(partial(self._rank, score.expand(len(self.train), -1)))
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

    def _held_out(self, split: str) -> HeldOut:
        held_out: HeldOut = {"val": self.split.val, "test": self.split.test}[split]
        return HeldOut(held_out.history.to(self.context.device), held_out.target.to(self.context.device))

    def _represent(self, split: str) -> Tensor:
        """Return the users' representations given their histories of a split, without dropout: [users, width]."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            users = self.model.last(*self._held_out(split).history.last(self.settings.length))
        self.model.train(training)
        return users

    def _rank(self, scores: Tensor, split: str) -> Metrics:
        held_out = self._held_out(split)
        excluded = held_out.history.members(self.split.n_items)
        excluded[:, PADDING] = True
        metrics = ranking_metrics(scores, held_out.target, excluded)
        count = self._popularity()
        for name, weights in (("uni100", torch.ones_like(count)), ("pop100", count)):
            draw = ONCE_AND_FOR_ALL.numpy(f"{name} {split}")
            metrics |= sampled_metrics(name, scores, held_out.target, excluded, weights, draw)
        return metrics

    def _popularity(self) -> Tensor:
        """Return how often each item occurs in the training items: int64 [n_items + 1]."""
        return torch.bincount(self.train.items, minlength=self.split.n_items + 1)

    def _generator(self, stream: str, step: Step) -> torch.Generator:
        return self.context.streams.torch(stream, step.index, device=self.context.device)
