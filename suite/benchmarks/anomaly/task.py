"""Mean-shifted contrastive training on Fashion-MNIST: the benchmark and its references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.anomaly.data import digits, first_of_class, to_float
from suite.benchmarks.anomaly.encoder import Encoder
from suite.benchmarks.anomaly.evaluate import detection, distance_to_nearest, spherical_distance_to_nearest
from suite.benchmarks.anomaly.pretraining import random_filters, whitened_components
from suite.benchmarks.image import data
from suite.benchmarks.image.augment import Augmentation
from suite.benchmarks.image.data import CLASSES, Images
from suite.losses.steps import Step
from suite.pairs import normalise, two_view
from suite.parameters import Count, Fraction, NonNegative, Positive
from suite.training import Batches, Context, Evaluated, Metrics, Objective, Outcomes, Task, geometry, on_both_splits

IMAGES_AT_ONCE = 250
DIAGNOSED_IMAGES = 200


@dataclass(frozen=True)
class AnomalyDetection:
    """Mean-shifted contrastive training (Reiss & Hoshen 2021, arXiv 2106.03844) of each class against the rest.

    An encoder that was pretrained without labels on MNIST goes on with images of one class of Fashion-MNIST, the normal
    one; whatever is of another class is an anomaly, and none is seen in training. Two views of an image are each
    other's positives. Their features are normalised, shifted by the centre of the normal training images' normalised
    features before training, and normalised again. Evaluated are the features without the shift, as published: an
    image's score is the sum of squared distances to the two nearest normal training images on the unit sphere.

    Published is a ResNet that was pretrained on ImageNet with labels, on CIFAR-10, trained by SGD; its scores do not
    compare with these. Here the encoder is small, trained by AdamW, and its pretraining takes no labels: the whitened
    principal components of MNIST's patches (:func:`~suite.benchmarks.anomaly.pretraining.whitened_components`).

    All classes are trained in one run, in turn, each with an encoder of its own that starts from the same weights. What
    a loss keeps for every sample stays apart between the classes; what it learns besides (a temperature) they share.

    Metrics are means over the classes: ``roc_auc``, ``average_precision``, and ``roc_auc_change``, the difference that
    training made. Anomalies are the positives.

    Parameters
    ----------
    classes : sequence of int
        Which are normal, each in its turn.
    shift : bool
        Whether to shift by the centre; without it this is plain contrastive training.
    normal_images : int
        How many of each class to train on, and to measure distances to.
    val_images, test_images : int
        How many to score; equal shares of each class.
    pretraining_images : int
        How many of MNIST, drawn by the seed.
    filters, size : int
        Number and (odd) size of the encoder's filters.
    epochs, batch : int
    learning_rate, weight_decay : float
        Of AdamW; the rate falls linearly to zero.
    crop, aspect, flip, jitter : float
        Of the views; see :class:`~suite.benchmarks.image.augment.Augmentation`.

    Raises
    ------
    ValueError
        If classes repeat or do not exist, or the filters are of even size or too many for it.
    """

    classes: Sequence[int] = tuple(range(CLASSES))
    shift: bool = True
    normal_images: Count = 5000
    val_images: Count = 5000
    test_images: Count = 10_000
    pretraining_images: Count = 10_000
    filters: Count = 16
    size: Count = 5
    epochs: Count = 2
    batch: Count = 64
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 0.0
    crop: Fraction = 0.7
    aspect: Positive = 1.1
    flip: Fraction = 0.5
    jitter: Fraction = 0.4

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes) or not set(self.classes) <= {*range(CLASSES)}:
            raise ValueError(f"classes should be different ones of 0 to {CLASSES - 1}, got {list(self.classes)}")
        if self.size % 2 == 0 or self.filters >= self.size**2:
            raise ValueError(f"filters of odd size, fewer than its square, expected, got {self.filters} of {self.size}")

    def task(self, context: Context) -> AnomalyTask:
        """Return the task of the context's seed, its encoders pretrained."""
        return AnomalyTask(self, context)


class OneClassTask(Task):
    """What contrastive and supervised training share: images, the pretrained encoder, batches of views.

    Parameters
    ----------
    benchmark : AnomalyDetection
    context : Context

    Attributes
    ----------
    model : nn.ModuleList
        One module a class, in the order of ``benchmark.classes``.
    """

    model: nn.ModuleList

    def __init__(self, benchmark: AnomalyDetection, context: Context) -> None:
        self.benchmark = benchmark
        self.context = context
        whole = data.load("train", context.data)
        self.training, validation = (whole[part] for part in data.split(whole.labels))
        self.validation = validation[data.balanced(validation.labels, benchmark.val_images)].to(context.device)
        numbers = [first_of_class(self.training.labels, c, benchmark.normal_images) for c in benchmark.classes]
        self.normal = [self.training.pixels[of_class].to(context.device) for of_class in numbers]
        self.augmentation = Augmentation(benchmark.crop, benchmark.aspect, benchmark.flip, benchmark.jitter)
        self.batches = Batches(benchmark.normal_images, benchmark.batch, context.streams)
        self.samples = len(benchmark.classes) * benchmark.normal_images
        self.epochs = benchmark.epochs
        self.steps_per_epoch = len(benchmark.classes) * self.batches.per_epoch

    def pretrained(self) -> Encoder:
        """Return the encoder that all classes start from."""
        images = digits(self.context.data)
        order = torch.randperm(len(images), generator=self.context.streams.torch("pretraining"))
        some = images[order[: self.benchmark.pretraining_images]]
        filters = whitened_components(some, self.benchmark.filters, self.benchmark.size)
        return Encoder(filters).to(self.context.device)

    def turn(self, step: Step) -> tuple[int, Tensor]:
        """Return whose turn a step is, as a place in ``benchmark.classes``, and which of its images: int64 [batch]."""
        place = step.index % len(self.normal)
        return place, self.batches[Step(step.index, step.epoch, step.within // len(self.normal))]

    def views(self, pixels: Tensor, step: Step) -> Tensor:
        """Return one view of each image."""
        return self.augmentation(to_float(pixels), self.context.streams.torch("augmentation", step.index))

    def queries(self, split: str) -> Images:
        """Return the images that a split scores."""
        if split == "val":
            return self.validation
        if split == "test":
            test = data.load("t10k", self.context.data)
            return test[data.balanced(test.labels, self.benchmark.test_images)].to(self.context.device)
        raise ValueError(f"split 'val' or 'test' expected, got {split!r}")

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        rate, decay = self.benchmark.learning_rate, self.benchmark.weight_decay
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)

    def rate(self, progress: float) -> float:
        """Return the rate's factor: a line down to zero."""
        return 1.0 - progress

    def mean_over_classes(self, split: str, score: Callable[[int, Tensor], Tensor]) -> Evaluated:
        """Return the mean metrics of what ``score(place, pixels)`` says of a split's images, class by class."""
        queries = self.queries(split)
        scores = [score(place, queries.pixels) for place in range(len(self.benchmark.classes))]
        anomalous = [queries.labels != label for label in self.benchmark.classes]
        metrics = [detection(*of_class) for of_class in zip(scores, anomalous, strict=True)]
        values, truth = (torch.stack(part).cpu().numpy() for part in (scores, anomalous))
        return Evaluated(
            {name: sum(each[name] for each in metrics) / len(metrics) for name in metrics[0]},
            {"roc_auc": Outcomes("roc_auc", values, truth)},
        )


class AnomalyTask(OneClassTask):
    """One seed of :class:`AnomalyDetection`."""

    def __init__(self, benchmark: AnomalyDetection, context: Context) -> None:
        super().__init__(benchmark, context)
        self.start = self.pretrained()
        self.centres = [normalise(embed(self.start, pixels)).mean(dim=0) for pixels in self.normal]
        self.model = nn.ModuleList(deepcopy(self.start) for _ in self.normal)
        self._at_start: dict[str, float] = {}

    def objective(self, step: Step) -> Objective:
        """Return the pairs of two views of normal images of the class whose turn it is."""
        place, items = self.turn(step)
        pixels = self.normal[place][items]
        features = normalise(self.model[place](self.views(torch.cat([pixels, pixels]), step)))
        if self.benchmark.shift:
            features = features - self.centres[place]
        index = items.to(self.context.device) + place * self.benchmark.normal_images
        first, second = features.chunk(2)
        return Objective(pairs=two_view(first, second, index))

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the encoders as they stand, and the change of ROC-AUC since pretraining."""
        metrics = self._detection(split, self.model)
        if split not in self._at_start:
            self._at_start[split] = self._detection(split, [self.start] * len(self.normal))["roc_auc"]
        change = metrics["roc_auc"] - self._at_start[split]
        return Evaluated({**metrics, "roc_auc_change": change}, metrics.outcomes)

    def diagnostics(self) -> Metrics:
        """Return how validation images of the normal classes lie on the sphere, in their own encoders' features.

        Means over the classes of ``uniformity``, ``effective_rank``, and ``centre_cosine``, the mean cosine to their
        own centre; of the features without the shift.
        """
        means: dict[str, float] = {"uniformity": 0.0, "effective_rank": 0.0, "centre_cosine": 0.0}
        for encoder, label in zip(self.model, self.benchmark.classes, strict=True):
            pixels = self.validation.pixels[self.validation.labels == label][:DIAGNOSED_IMAGES]
            features = normalise(embed(encoder, pixels))
            centre = normalise(features.mean(dim=0, keepdim=True))
            of_class = {
                "uniformity": geometry.uniformity(features),
                "effective_rank": geometry.effective_rank(features),
                "centre_cosine": float((features @ centre.T).mean()),
            }
            means = {name: value + of_class[name] / len(self.model) for name, value in means.items()}
        return means

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw``, ``untrained``, ``pretrained`` or ``supervised``.

        ``raw`` takes Euclidean distances between pixels, not normalised (which does better), ``untrained`` the encoder
        with random filters, ``pretrained`` the encoder before training. ``supervised`` is a task: the encoder with a
        linear classifier, trained on labelled normal and anomalous images: an upper bound that sees anomalies.
        """
        if name == "chance":
            return on_both_splits(partial(self.mean_over_classes, score=lambda _, pixels: torch.zeros(len(pixels))))
        if name == "raw":
            return on_both_splits(partial(self.mean_over_classes, score=self._raw_distance))
        if name == "untrained":
            generator = self.context.streams.torch("weights")
            filters = random_filters(self.benchmark.filters, self.benchmark.size, generator)
            encoder = Encoder(filters).to(self.context.device)
            return on_both_splits(lambda split: self._detection(split, [encoder] * len(self.normal)))
        if name == "pretrained":
            return on_both_splits(lambda split: self._detection(split, [self.start] * len(self.normal)))
        if name == "supervised":
            return SupervisedTask(self.benchmark, self.context)
        return super().reference(name)

    def _detection(self, split: str, encoders: Iterable[nn.Module]) -> Evaluated:
        encoders = list(encoders)
        embed_once = lru_cache(maxsize=1)(
            embed
        )  # where all classes have the same encoder, the queries' features serve all

        def score(place: int, pixels: Tensor) -> Tensor:
            gallery = embed(encoders[place], self.normal[place])
            return spherical_distance_to_nearest(gallery, embed_once(encoders[place], pixels))

        return self.mean_over_classes(split, score)

    def _raw_distance(self, place: int, pixels: Tensor) -> Tensor:
        return distance_to_nearest(to_float(self.normal[place]).flatten(1), to_float(pixels).flatten(1))


class SupervisedTask(OneClassTask):
    """The upper reference: normal against anomalous images with labels, from the same encoder and in the same steps."""

    def __init__(self, benchmark: AnomalyDetection, context: Context) -> None:
        super().__init__(benchmark, context)
        encoder = self.pretrained()
        features = embed(encoder, self.normal[0][:1]).shape[1]
        with context.streams.seeded("weights"):
            heads = [nn.Linear(features, 1).to(context.device) for _ in self.normal]
        self.model = nn.ModuleList(nn.Sequential(deepcopy(encoder), head) for head in heads)
        self.anomalies = [(self.training.labels != label).nonzero().squeeze(1) for label in benchmark.classes]

    def objective(self, step: Step) -> Objective:
        """Return the cross-entropy of as many anomalies, drawn from all other classes' training images, as normals."""
        place, items = self.turn(step)
        others = self.anomalies[place]
        draws = torch.randint(len(others), (len(items),), generator=self.context.streams.torch("anomalies", step.index))
        anomalies = self.training.pixels[others[draws]].to(self.context.device)
        logits = self.model[place](self.views(torch.cat([self.normal[place][items], anomalies]), step)).squeeze(1)
        anomalous = (torch.arange(len(logits), device=logits.device) >= len(items)).float()
        return Objective(auxiliary=functional.binary_cross_entropy_with_logits(logits, anomalous))

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the classifiers' logits."""
        return self.mean_over_classes(split, lambda place, pixels: embed(self.model[place], pixels).squeeze(1))


def embed(module: nn.Module, pixels: Tensor) -> Tensor:
    """Return a module's outputs for uint8 images, without gradients: [images, outputs]."""
    with torch.no_grad():
        return torch.cat([module(to_float(some)) for some in torch.split(pixels, IMAGES_AT_ONCE)])
