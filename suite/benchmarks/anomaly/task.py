"""Mean-shifted contrastive training of one class against the rest: what a step minimises, scores, references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.anomaly import data
from suite.benchmarks.anomaly.data import CLASSES
from suite.benchmarks.anomaly.evaluate import detection, distance_to_nearest, spherical_distance_to_nearest
from suite.benchmarks.anomaly.networks import NETWORKS
from suite.benchmarks.anomaly.settings import Settings
from suite.benchmarks.anomaly.views import IMAGES_AT_ONCE, Views
from suite.benchmarks.image.colour import crops, subsets
from suite.benchmarks.image.colour.augment import ColourAugmentation
from suite.benchmarks.image.colour.data import HeldImages
from suite.losses.steps import Step
from suite.pairs import normalise, two_view
from suite.training import Batches, Context, Evaluated, Metrics, Objective, Outcomes, Task, geometry, on_both_splits

DIAGNOSED_IMAGES = 200


class OneClassTask(Task):
    """What contrastive and supervised training share: images, the pretrained encoder, batches.

    Parameters
    ----------
    benchmark : Settings
    context : Context

    Attributes
    ----------
    model : nn.ModuleList
        What is trained: a module a class, in the order of ``benchmark.classes``.
    start : Encoder
        The pretrained encoder; its frozen part serves all classes.

    Raises
    ------
    ValueError
        If a class has fewer images than are to be trained on and held out.
    """

    model: nn.ModuleList

    def __init__(self, benchmark: Settings, context: Context) -> None:
        self.benchmark = benchmark
        self.context = context
        self.images = data.load(benchmark.dataset, "train", context.data)
        labels = self.images.labels
        self.validation = data.last_of_each_class(labels, benchmark.val_images)
        self.known = torch.ones(len(labels), dtype=torch.bool).index_fill(0, self.validation, False)
        numbers = self.known.nonzero().squeeze(1)
        size = benchmark.normal_images
        self.normal = [numbers[data.first_of_class(labels[numbers], label, size)] for label in benchmark.classes]
        self.start = NETWORKS[benchmark.encoder].pretrained(context.data).to(context.device)
        ours = benchmark
        self.augmentation = ColourAugmentation(
            ours.size, ours.crop, ours.jitter, ours.hue, grey=ours.grey, blurred=ours.blurred, kernel=ours.kernel
        )
        self.batches = Batches(size, benchmark.batch, context.streams)
        self.samples = len(benchmark.classes) * size
        self.epochs = benchmark.epochs
        self.steps_per_epoch = len(benchmark.classes) * self.batches.per_epoch

    def turn(self, step: Step) -> tuple[int, Tensor]:
        """Return whose turn a step is, as a place in ``benchmark.classes``, and which of its images: int64 [batch]."""
        place = step.index % len(self.normal)
        return place, self.batches[Step(step.index, step.epoch, step.within // len(self.normal))]

    def views(self, numbers: Tensor, name: str) -> Views:
        """Return random views of training images as the frozen part takes them; `name` is that of their stream."""
        return Views(self.start.frozen, self.draw, numbers, self.benchmark.views, self.context.streams, name)

    def draw(self, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random view of each of some training images: int64 [images] -> [images, 3, size, size]."""
        draws = torch.rand(1, crops.DRAWS + 1, len(numbers), generator=generator)
        ours = self.benchmark
        views = self.images.random_crops(numbers, draws, ours.crop, ours.size, self.context.device)
        return self.augmentation.recoloured(views, generator)

    def queries(self, split: str) -> tuple[HeldImages, Tensor]:
        """Return where the images that a split scores are, and their numbers there: int64 [images]."""
        if split == "val":
            return self.images, self.validation
        if split == "test":
            images = data.load(self.benchmark.dataset, "test", self.context.data)
            return images, subsets.first_of_each(images.labels, self.benchmark.test_images, CLASSES)
        raise ValueError(f"split 'val' or 'test' expected, got {split!r}")

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return SGD without momentum."""
        return torch.optim.SGD(groups, lr=self.benchmark.learning_rate, weight_decay=self.benchmark.weight_decay)

    def mean_over_classes(self, split: str, scores: Sequence[Tensor]) -> Evaluated:
        """Return the mean metrics of the scores of a split's images: [images] for each class."""
        images, numbers = self.queries(split)
        anomalous = [images.labels[numbers] != label for label in self.benchmark.classes]
        metrics = [detection(*of_class) for of_class in zip(scores, anomalous, strict=True)]
        values, truth = (torch.stack(part).cpu().numpy() for part in (list(scores), anomalous))
        return Evaluated(
            {name: sum(each[name] for each in metrics) / len(metrics) for name in metrics[0]},
            {"roc_auc": Outcomes("roc_auc", values, truth)},
        )


class Features:
    """Features of images as they are scored, by one frozen part and any trained one.

    Where the views are kept, what the frozen part gives for an image is kept, too.

    Parameters
    ----------
    task : OneClassTask
    frozen : nn.Module
    """

    def __init__(self, task: OneClassTask, frozen: nn.Module) -> None:
        self.task = task
        self.frozen = frozen
        self._kept: dict[str, Tensor] = {}

    def of(self, trained: nn.Module, name: str, images: HeldImages, numbers: Tensor) -> Tensor:
        """Return the features of images: [images, features], without gradients.

        Parameters
        ----------
        trained : nn.Module
        name : str
            What the images are; the same at every call with them.
        images : HeldImages
        numbers : Tensor [images], int64
        """
        if not self.task.benchmark.views:
            return self._through(nn.Sequential(self.frozen, trained), images, numbers)
        if name not in self._kept:
            self._kept[name] = self._through(self.frozen, images, numbers)
        with torch.no_grad():
            return torch.cat([trained(some) for some in torch.split(self._kept[name], IMAGES_AT_ONCE)])

    def of_normal(self, trained: nn.Module, place: int) -> Tensor:
        """Return the features of the normal training images of a class: [images, features]."""
        return self.of(trained, f"normal {place}", self.task.images, self.task.normal[place])

    def of_queries(self, trained: nn.Module, split: str) -> Tensor:
        """Return the features of the images that a split scores: [images, features]."""
        return self.of(trained, split, *self.task.queries(split))

    def detection(self, split: str, trained: Sequence[nn.Module]) -> Evaluated:
        """Return the mean metrics of the distances to the nearest normal images, by a trained part for each class."""
        # where all classes have the same part, the queries' features serve all
        queries = lru_cache(maxsize=1)(lambda part: self.of_queries(part, split))
        scores = [
            spherical_distance_to_nearest(self.of_normal(part, place), queries(part))
            for place, part in enumerate(trained)
        ]
        return self.task.mean_over_classes(split, scores)

    def _through(self, module: nn.Module, images: HeldImages, numbers: Tensor) -> Tensor:
        share, size, device = self.task.benchmark.centre, self.task.benchmark.size, self.task.context.device
        with torch.no_grad():
            parts = torch.split(numbers, IMAGES_AT_ONCE)
            return torch.cat([module(images.plain(some, share, size, device)) for some in parts])


class AnomalyTask(OneClassTask):
    """One seed of :class:`~suite.benchmarks.anomaly.AnomalyDetection`."""

    def __init__(self, benchmark: Settings, context: Context) -> None:
        super().__init__(benchmark, context)
        self.features = Features(self, self.start.frozen)
        of_normal = (self.features.of_normal(self.start.trained, place) for place in range(len(self.normal)))
        self.centres = [normalise(features).mean(dim=0) for features in of_normal]
        named = zip(benchmark.classes, self.normal, strict=True)
        self.drawn = [self.views(numbers, f"views of class {label}") for label, numbers in named]
        self.model = nn.ModuleList(deepcopy(self.start.trained) for _ in self.normal)
        self._at_start: dict[str, float] = {}

    def objective(self, step: Step) -> Objective:
        """Return the pairs of two views of normal images of the class whose turn it is."""
        place, items = self.turn(step)
        features = normalise(self.model[place](self.drawn[place](items, step)))
        if self.benchmark.shift:
            features = features - self.centres[place]
        index = items.to(self.context.device) + place * self.benchmark.normal_images
        first, second = features.chunk(2)
        return Objective(pairs=two_view(first, second, index))

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the encoders as they stand, and the change of ROC-AUC since pretraining."""
        metrics = self.features.detection(split, list(self.model))
        if split not in self._at_start:
            self._at_start[split] = self._pretrained(split)["roc_auc"]
        change = metrics["roc_auc"] - self._at_start[split]
        return Evaluated({**metrics, "roc_auc_change": change}, metrics.outcomes)

    def diagnostics(self) -> Metrics:
        """Return how validation images of the normal classes lie on the sphere, in their own encoders' features.

        Means over the classes of ``uniformity``, ``effective_rank``, and ``centre_cosine``, the mean cosine to their
        own centre; of the features without the shift.
        """
        means: dict[str, float] = {"uniformity": 0.0, "effective_rank": 0.0, "centre_cosine": 0.0}
        for trained, label in zip(self.model, self.benchmark.classes, strict=True):
            some = self.validation[self.images.labels[self.validation] == label][:DIAGNOSED_IMAGES]
            features = normalise(self.features.of(trained, f"diagnosed of class {label}", self.images, some))
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
        with random weights, ``pretrained`` the encoder as ImageNet left it: DN2 (Bergman et al. 2020, arXiv
        2002.10445) on the sphere. ``supervised`` is a task: the encoder with a linear classifier, trained on labelled
        normal and anomalous images: an upper bound that sees anomalies.
        """
        if name == "chance":
            return on_both_splits(self._chance)
        if name == "raw":
            return on_both_splits(self._raw)
        if name == "untrained":
            with self.context.streams.seeded("weights"):
                encoder = NETWORKS[self.benchmark.encoder].untrained().to(self.context.device)
            features = Features(self, encoder.frozen)
            return on_both_splits(lambda split: features.detection(split, [encoder.trained] * len(self.normal)))
        if name == "pretrained":
            return on_both_splits(self._pretrained)
        if name == "supervised":
            return SupervisedTask(self.benchmark, self.context)
        return super().reference(name)

    def _pretrained(self, split: str) -> Evaluated:
        return self.features.detection(split, [self.start.trained] * len(self.normal))

    def _chance(self, split: str) -> Evaluated:
        same = torch.zeros(len(self.queries(split)[1]))
        return self.mean_over_classes(split, [same] * len(self.normal))

    def _raw(self, split: str) -> Evaluated:
        queries = self._pixels(*self.queries(split))
        normal = (self._pixels(self.images, numbers) for numbers in self.normal)
        return self.mean_over_classes(split, [distance_to_nearest(pixels, queries) for pixels in normal])

    def _pixels(self, images: HeldImages, numbers: Tensor) -> Tensor:
        return images.plain(numbers, 1.0, images.pixels.shape[-1], self.context.device).flatten(1)


class SupervisedTask(OneClassTask):
    """The upper reference: normal against anomalous images with labels, from the same encoder and in the same steps.

    As many anomalies as normal images are drawn for each class, from the training images of all others.
    """

    def __init__(self, benchmark: Settings, context: Context) -> None:
        super().__init__(benchmark, context)
        self.features = Features(self, self.start.frozen)
        width = self.features.of(self.start.trained, "one", self.images, self.normal[0][:1]).shape[1]
        with context.streams.seeded("weights"):
            heads = [nn.Linear(width, 1).to(context.device) for _ in self.normal]
        self.model = nn.ModuleList(nn.Sequential(deepcopy(self.start.trained), head) for head in heads)
        named = zip(benchmark.classes, self.normal, strict=True)
        self.drawn = [
            (self.views(normal, f"views of class {c}"), self.views(self._anomalies(c), f"views against class {c}"))
            for c, normal in named
        ]

    def objective(self, step: Step) -> Objective:
        """Return the cross-entropy of a view of each normal image and of each of as many anomalies."""
        place, items = self.turn(step)
        views = torch.cat([views(items, step, count=1) for views in self.drawn[place]])
        logits = self.model[place](views).squeeze(1)
        anomalous = (torch.arange(len(logits), device=logits.device) >= len(items)).float()
        return Objective(auxiliary=functional.binary_cross_entropy_with_logits(logits, anomalous))

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the classifiers' logits."""
        return self.mean_over_classes(split, [self.features.of_queries(part, split).squeeze(1) for part in self.model])

    def _anomalies(self, label: int) -> Tensor:
        """Return the numbers of the anomalies to train on: int64 [normal images]."""
        others = (self.known & (self.images.labels != label)).nonzero().squeeze(1)
        order = torch.randperm(len(others), generator=self.context.streams.torch(f"anomalies of class {label}"))
        return others[order[: self.benchmark.normal_images]]
