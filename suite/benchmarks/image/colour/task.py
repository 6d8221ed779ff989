"""SimCLR and MoCo on colour images: what a step minimises, and what the features are worth."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.image.colour import crops, data, subsets
from suite.benchmarks.image.colour.augment import ColourAugmentation
from suite.benchmarks.image.colour.encoder import ResNet, projection
from suite.benchmarks.image.colour.optimise import LARS, cosine_by_epoch, without_decay_of_vectors
from suite.benchmarks.image.colour.settings import Settings
from suite.benchmarks.image.encoder import Model
from suite.benchmarks.image.evaluate import FeatureEvaluation, geometry_of
from suite.benchmarks.image.moco import MomentumModel
from suite.benchmarks.schedule import warm_up_and_cosine
from suite.losses.steps import Step
from suite.pairs import two_view, with_queue
from suite.training import Batches, Context, Metrics, Objective, Task, on_both_splits
from suite.training.chunks import in_chunks

VALIDATION_SHARE = 0.1
IMAGES_AT_ONCE = 500
DIAGNOSED_IMAGES = 500
Encode = Callable[[Tensor], Tensor]


class ColourTask(Task):
    """What contrastive and supervised training share.

    Parameters
    ----------
    benchmark : Settings
    context : Context
    """

    def __init__(self, benchmark: Settings, context: Context) -> None:
        self.benchmark = benchmark
        self.context = context
        self.images = data.load(benchmark.dataset, "train", context.data)
        labels = self.images.labels
        is_held_out = subsets.held_out(labels, VALIDATION_SHARE)
        self.known, self.validation = (~is_held_out).nonzero().squeeze(1), is_held_out.nonzero().squeeze(1)
        self.items = self.trained_on(labels)
        self.augmentation = ColourAugmentation(
            benchmark.size,
            benchmark.crop,
            benchmark.jitter,
            benchmark.hue,
            blurred=benchmark.blurred,
            kernel=benchmark.kernel,
        )
        self.batches = Batches(len(self.items), benchmark.batch, context.streams)
        self.samples = len(self.items)
        self.epochs = benchmark.epochs
        self.steps_per_epoch = self.batches.per_epoch
        with context.streams.seeded("weights"):
            encoder = ResNet(benchmark.encoder, benchmark.stem)
            self.model: Model = Model(encoder, self.head(encoder.features)).to(context.device)
        self._evaluated: tuple[str, Tensor] = ("", torch.empty(0))

    @abc.abstractmethod
    def head(self, features: int) -> nn.Module:
        """Return a new head for the encoder: [images, features] -> [images, outputs]."""

    def trained_on(self, labels: Tensor) -> Tensor:
        """Return the numbers of the training images to train on, given the labels of all."""
        if self.benchmark.imbalance == 1:
            return subsets.first_of_each(labels, self.benchmark.train_images, self.benchmark.classes)
        return subsets.long_tailed(labels, self.benchmark.imbalance, self.benchmark.classes)

    def views(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return two views of each of the step's images: [2 batch, 3, side, side]; and their places: int64 [batch]."""
        places = self.batches[step]
        return self._views(self.items[places], self.context.streams.torch("augmentation", step.index)), places

    def outputs(self, views: Tensor) -> Tensor:
        """Return the head's outputs for views, the first and the second ones apart: [2 batch, outputs].

        Batch normalisation sees one view of each image at a time, as in lightly's code.
        """
        return torch.cat([in_chunks(self.model, half, self.benchmark.chunk) for half in views.chunk(2)])

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the encoder's features on split ``"val"`` or ``"test"``."""
        digest = hashlib.sha256()
        for value in self.model.encoder.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        if self._evaluated[0] != digest.hexdigest():  # the other split asks for the same features of training images
            self._evaluated = digest.hexdigest(), self._features(self.images, self._labelled(), self._encode)
        return self._scores(split, self._evaluated[1], self._encode)

    def diagnostics(self) -> Metrics:
        """Return how the encoder's features of validation images lie on the sphere; the views are always the same."""
        some = self.validation[:: max(1, len(self.validation) // DIAGNOSED_IMAGES)]
        labels = self.images.labels[some]
        views = self._views(some, self.context.streams.torch("diagnostics"))
        first, second = self._encode(views).chunk(2)
        return geometry_of(self._encode(self._plain(self.images, some)), labels.to(first.device), first, second)

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Return encoder and head as one module."""
        return (self.model,)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return gradient descent with momentum, or LARS."""
        ours = self.benchmark
        if ours.optimizer == "lars":
            return LARS(
                without_decay_of_vectors(groups), ours.learning_rate, ours.momentum, weight_decay=ours.weight_decay
            )
        return torch.optim.SGD(groups, ours.learning_rate, ours.momentum, weight_decay=ours.weight_decay, fused=True)

    def rate(self, progress: float) -> float:
        """Return the rate's factor."""
        ours = self.benchmark
        if not ours.warm_up:
            return cosine_by_epoch(progress, ours.epochs)
        return warm_up_and_cosine(progress, 1 / (self.epochs * self.steps_per_epoch), ours.warm_up / ours.epochs)

    def _views(self, numbers: Tensor, generator: torch.Generator) -> Tensor:
        draws = torch.rand(2, crops.DRAWS + 1, len(numbers), generator=generator)
        ours = self.benchmark
        with torch.autocast(self.context.device.type, enabled=False):  # crops are matrix products
            views = self.images.random_crops(numbers, draws, ours.crop, ours.size, self.context.device)
            return self.augmentation.recoloured(views, generator)

    def _plain(self, images: data.ColourImages, numbers: Tensor) -> Tensor:
        return images.plain(numbers, self.benchmark.centre, self.benchmark.size, self.context.device)

    def _labelled(self) -> Tensor:
        """Return the numbers of the training images that evaluation looks at, in order."""
        all_parts = torch.cat([self._queries("val"), self._gallery("val"), self._gallery("test")])
        numbers: Tensor = all_parts.unique()  # type: ignore[no-untyped-call]
        return numbers

    def _gallery(self, split: str) -> Tensor:
        """Return the numbers of the training images whose labels a split is classified with."""
        known = self.known if split == "val" else torch.arange(len(self.images))
        some = subsets.first_of_each(self.images.labels[known], self.benchmark.gallery_images, self.benchmark.classes)
        return known[some]

    def _queries(self, split: str) -> Tensor:
        """Return the numbers of the images to classify: of training images for ``"val"``, else of test images."""
        ours = self.benchmark
        if split == "val":
            labels = self.images.labels[self.validation]
            return self.validation[subsets.first_of_each(labels, ours.val_images, ours.classes)]
        return subsets.first_of_each(self._test().labels, ours.test_images, ours.classes)

    def _test(self) -> data.ColourImages:
        return data.load(self.benchmark.dataset, "test", self.context.data)

    def _features(self, images: data.ColourImages, numbers: Tensor, encode: Encode) -> Tensor:
        return torch.cat([encode(self._plain(images, some)) for some in torch.split(numbers, IMAGES_AT_ONCE)])

    def _scores(self, split: str, labelled: Tensor, encode: Encode) -> Metrics:
        """Return a split's metrics, given the features of the labelled training images: [images, features]."""
        if split not in ("val", "test"):
            raise ValueError(f"split 'val' or 'test' expected, got {split!r}")
        at = torch.empty(len(self.images), dtype=torch.int64)
        numbers = self._labelled()
        at[numbers] = torch.arange(len(numbers))
        gallery, queries = self._gallery(split), self._queries(split)
        if split == "val":
            of_queries, labels = labelled[at[queries].to(labelled.device)], self.images.labels[queries]
        else:
            of_queries, labels = self._features(self._test(), queries, encode), self._test().labels[queries]
        known, device = labelled[at[gallery].to(labelled.device)], labelled.device
        evaluation = FeatureEvaluation(known, self.images.labels[gallery].to(device), self.benchmark.classes)
        return evaluation(of_queries, labels.to(device))

    def _encode(self, images: Tensor) -> Tensor:
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            features: Tensor = self.model.encoder(images)
        self.model.train(training)
        return features.float()


class ColourContrastiveTask(ColourTask):
    """SimCLR: two views of an image are each other's positives."""

    def head(self, features: int) -> nn.Module:
        """Return the projection head."""
        ours = self.benchmark
        return projection(features, ours.hidden, ours.embedding, ours.normalised_head)

    def objective(self, step: Step) -> Objective:
        """Return the pairs of the step's two views."""
        views, places = self.views(step)
        embeddings = self.outputs(views)
        first, second = embeddings.chunk(2)
        return Objective(pairs=two_view(first, second, places.to(embeddings.device)))

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw`` (pixels as features), ``untrained`` or ``supervised``.

        ``supervised`` is a task: the same encoder, views and schedule, cross-entropy on the labels of the training
        images that are not for validation.
        """
        if name == "chance":
            names = FeatureEvaluation.names(len(self._gallery("val")))
            return on_both_splits(lambda split: dict.fromkeys(names, 1 / self.benchmark.classes))
        if name == "raw":
            pixels = self._features(self.images, self._labelled(), _flat)
            return on_both_splits(lambda split: self._scores(split, pixels, _flat))
        if name == "supervised":
            return ColourSupervisedTask(self.benchmark, self.context)
        return super().reference(name)


class ColourMomentumTask(ColourContrastiveTask):
    """MoCo: a view of an image is to find the other among earlier images' keys.

    The initial queue is drawn from stream ``queue``.
    """

    model: MomentumModel

    def __init__(self, benchmark: Settings, context: Context) -> None:
        super().__init__(benchmark, context)
        draws = torch.randn(benchmark.queue, benchmark.embedding, generator=context.streams.torch("queue"))
        self.model = MomentumModel(self.model, draws.to(context.device), benchmark.key_momentum)

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Return encoder and head, and their copy."""
        return self.model, self.model.key

    def objective(self, step: Step) -> Objective:
        """Return the pairs of the step's views with their keys and the queue, which then takes in the keys."""
        views, places = self.views(step)
        first, second = views.chunk(2)
        self.model.update_key()
        pairs_of_views = [(first, second), (second, first)] if self.benchmark.symmetric else [(first, second)]
        with torch.no_grad():
            keys = torch.cat([in_chunks(self.model.key, key, self.benchmark.chunk) for _, key in pairs_of_views])
        queries = torch.cat([in_chunks(self.model, query, self.benchmark.chunk) for query, _ in pairs_of_views])
        index = places.to(queries.device).repeat(len(pairs_of_views))
        pairs = with_queue(queries, keys, self.model.queue, index)
        self.model.enqueue(keys)
        return Objective(pairs=pairs)


class ColourSupervisedTask(ColourTask):
    """The upper reference: the same encoder and views, cross-entropy on labels."""

    def head(self, features: int) -> nn.Module:
        """Return a linear classifier."""
        return nn.Linear(features, self.benchmark.classes)

    def trained_on(self, labels: Tensor) -> Tensor:
        """Return those of the images trained on whose labels are not for validation."""
        items = super().trained_on(labels)
        return items[torch.isin(items, self.known)]

    def objective(self, step: Step) -> Objective:
        """Return the mean cross-entropy of both views."""
        views, places = self.views(step)
        labels = self.images.labels[self.items[places]].to(views.device)
        return Objective(auxiliary=functional.cross_entropy(self.outputs(views), labels.repeat(2)))


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1)
