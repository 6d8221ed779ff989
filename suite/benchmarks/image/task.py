"""SimCLR and MoCo on Fashion-MNIST: the benchmark and its references."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.image import data
from suite.benchmarks.image.augment import Augmentation
from suite.benchmarks.image.data import CLASSES, Images
from suite.benchmarks.image.encoder import Encoder, Model, projection_head
from suite.benchmarks.image.evaluate import FEW_LABELS, FeatureEvaluation, geometry_of
from suite.benchmarks.image.moco import MomentumModel
from suite.losses.steps import Step
from suite.pairs import two_view, with_queue
from suite.parameters import Count, Fraction, NonNegative, Positive
from suite.training import Batches, Context, Metrics, Objective, Task, on_both_splits

IMAGES_AT_ONCE = 1000
DIAGNOSED_IMAGES = 500
WARM_UP = 0.1
AVAILABLE: Final = {"train_images": 50_000, "gallery_images": 50_000, "val_images": 10_000, "test_images": 10_000}


@dataclass(frozen=True)
class ImageClassification:
    """SimCLR (Chen et al. 2020, arXiv 2002.05709) or MoCo v2 (arXiv 2003.04297) on Fashion-MNIST, with a small encoder.

    SimCLR pools two augmented views of each image into 2N anchors. MoCo sets the first view's N embeddings against the
    second's, embedded by a slowly moving copy of encoder and head, and a queue of earlier ones; in one direction, as
    published. Both share initial weights, data order and views. Evaluated are the encoder's features before the
    projection head, frozen, given a labelled gallery from the training images: weighted nearest neighbours
    (``knn_accuracy``), and linear probes on all gallery labels (``linear_accuracy``) and on ten a class
    (``few_label_accuracy``); see :class:`~suite.benchmarks.image.evaluate.FeatureEvaluation`.

    Parameters
    ----------
    framework : "simclr" or "moco"
    train_images, gallery_images, val_images, test_images : int
        How many images to train on (unlabelled), to take as labelled examples, and to classify; equal shares of each
        class.
    epochs, batch : int
    learning_rate, weight_decay : float
        Of AdamW. The rate rises linearly over the first tenth of training and falls to zero by a cosine.
    width : int
        Channels of the encoder's first convolution.
    hidden, embedding : int
        Widths of the projection head.
    crop, aspect, jitter : float
        Strength of the augmentation; see :class:`~suite.benchmarks.image.augment.Augmentation`. Half the views are
        mirrored.
    bfloat16 : bool
        Autocast the encoder. Pays where the processor multiplies bfloat16 matrices (AMX, GPU), costs elsewhere.
    channels_last : bool
        Memory format of images and convolutions.
    queue : int
        Keys that MoCo's queue holds.
    momentum : float
        Share of its weights that MoCo's copy keeps at each step: it lags by about 1 / (1 - momentum) steps, which
        should be few of all.

    Raises
    ------
    ValueError
        If a number of images is not a multiple of ten, more than there are, or too few for ten labels a class; if the
        framework is unknown, or MoCo's queue would not hold a batch.
    """

    compiles: ClassVar[bool] = True
    distributed: ClassVar[bool] = True

    framework: Literal["simclr", "moco"] = "simclr"
    train_images: Count = 50_000
    gallery_images: Count = 5_000
    val_images: Count = 5_000
    test_images: Count = 10_000
    epochs: Count = 2
    batch: Count = 256
    learning_rate: Positive = 4e-3
    weight_decay: NonNegative = 0.01
    width: Count = 32
    hidden: Count = 256
    embedding: Count = 64
    crop: Fraction = 0.8
    aspect: Positive = 1.33
    jitter: Fraction = 0.8
    bfloat16: bool = False
    channels_last: bool = True
    queue: Count = 4096
    momentum: Fraction = 0.99

    def __post_init__(self) -> None:
        for name, available in self.available.items():
            size = getattr(self, name)
            if size % CLASSES or not 0 < size <= available:
                raise ValueError(f"{name} should be a multiple of {CLASSES} up to {available}, got {size}")
        if self.gallery_images < FEW_LABELS * CLASSES:
            raise ValueError(f"gallery_images should be at least {FEW_LABELS * CLASSES}, got {self.gallery_images}")
        if self.framework not in ("simclr", "moco"):
            raise ValueError(f"framework should be 'simclr' or 'moco', got {self.framework!r}")
        if self.framework == "moco" and self.queue < self.batch:
            raise ValueError(f"queue should hold at least one batch of {self.batch} keys, got {self.queue}")

    def task(self, context: Context) -> ImageTask:
        """Return the task of the context's seed, its training images loaded."""
        return MomentumContrastTask(self, context) if self.framework == "moco" else ContrastiveTask(self, context)

    def images(self, part: str, locate: Callable[[str, str], Path]) -> Images:
        """Return the images of part ``"training"``, ``"validation"`` or ``"test"``; never write into them."""
        return data.part_of(data.DATASET, part, locate)

    @property
    def available(self) -> Mapping[str, int]:
        """How many images there are for each purpose."""
        return AVAILABLE

    def trained_on(self, labels: Tensor) -> Tensor:
        """Return the numbers of the images to train on, given the classes of all that are not for validation."""
        return data.balanced(labels, self.train_images)


@dataclass(frozen=True)
class LongTailedImageClassification(ImageClassification):
    """The same, trained on ever fewer images from class to class, as on CIFAR-LT (Cui et al. 2019, arXiv 1901.05555).

    Only what is trained on has the tail, the supervised reference's images too; the gallery of labelled examples and
    what is classified stay balanced. An epoch has fewer steps. DySTreSS (Manna et al. 2023, arXiv 2308.01140), whose
    experiments on CIFAR-LT this follows, has 1 and 10 neighbours vote; here it is 20 and 200, as without a tail.

    Parameters
    ----------
    imbalance : float
        Images of the largest class for one of the smallest, at least 1; ``train_images`` is ten times the largest. See
        :func:`~suite.benchmarks.image.data.long_tailed`.
    **settings
        As of :class:`ImageClassification`.

    Raises
    ------
    ValueError
        If it is below 1, or so large that the smallest class would be empty.
    """

    imbalance: Annotated[float, Ge(1)] = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        largest = self.train_images // CLASSES
        if not 1 <= self.imbalance <= largest:
            raise ValueError(f"imbalance should be from 1 to {largest}, the largest class, got {self.imbalance:g}")

    def trained_on(self, labels: Tensor) -> Tensor:
        """Return the numbers of the images to train on, given the classes of all that are not for validation."""
        return data.long_tailed(labels, self.train_images, self.imbalance)


class ImageTask(Task):
    """What contrastive and supervised training share: data, encoder, batches of augmented views, evaluation.

    Parameters
    ----------
    benchmark : ImageClassification
    context : Context
    """

    def __init__(self, benchmark: ImageClassification, context: Context) -> None:
        self.benchmark = benchmark
        self.context = context
        training, validation = (benchmark.images(part, context.data) for part in ("training", "validation"))
        self.images = training[benchmark.trained_on(training.labels)].to(context.device)
        self.gallery = training[data.balanced(training.labels, benchmark.gallery_images)]
        self.validation = validation[data.balanced(validation.labels, benchmark.val_images)]
        self.augmentation = Augmentation(benchmark.crop, benchmark.aspect, flip=0.5, jitter=benchmark.jitter)
        self.batches = Batches(len(self.images), benchmark.batch, context.streams)
        self.samples = len(self.images)
        self.epochs = benchmark.epochs
        self.steps_per_epoch = self.batches.per_epoch
        with context.streams.seeded("weights"):
            encoder = Encoder(benchmark.width)
            self.model: Model = Model(encoder, self.head(encoder.features)).to(context.device)
        self._evaluation: FeatureEvaluation | None = None
        if benchmark.channels_last:
            self.model.to(memory_format=torch.channels_last)

    @abc.abstractmethod
    def head(self, features: int) -> nn.Module:
        """Return a new head for the encoder: [images, features] -> [images, outputs]."""

    def views(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return two views of each of the step's images, and the images' numbers.

        Returns
        -------
        Tensor [2 batch, 1, height, width], Tensor [batch], int64
            The first half holds the first views.
        """
        index = self.batches[step].to(self.context.device)
        pixels = self.images.pixels[index]
        generator = self.context.streams.torch("augmentation", step.index)
        return self.augmentation(_to_float(torch.cat([pixels, pixels])), generator), index

    def outputs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return the head's outputs for a step's views: [2 batch, outputs]; and its images' numbers: int64 [batch]."""
        views, index = self.views(step)
        return self._run(self.model, views), index

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of the encoder's features on split ``"val"`` or ``"test"``."""
        return self._evaluate(split, self._encode)

    def diagnostics(self) -> Metrics:
        """Return how the encoder's features of validation images lie on the sphere.

        ``uniformity``, ``tolerance`` and ``effective_rank`` are of the images as they are, ``alignment`` is of two
        views of each, the same at every call. The layer ends in a ReLU, so that no cosine is below 0.
        """
        some = data.balanced(self.validation.labels, min(DIAGNOSED_IMAGES, len(self.validation)))
        images = self.validation[some].to(self.context.device)
        pixels = _to_float(images.pixels)
        views = self.augmentation(torch.cat([pixels, pixels]), self.context.streams.torch("diagnostics"))
        return geometry_of(self._encode(pixels), images.labels, *self._encode(views).chunk(2))

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Return encoder and head as one module."""
        return (self.model,)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        rate, decay = self.benchmark.learning_rate, self.benchmark.weight_decay
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)

    def rate(self, progress: float) -> float:
        """Return the rate's factor: a linear rise, then half a cosine down to zero."""
        if progress < WARM_UP:
            return (progress + 0.01) / (WARM_UP + 0.01)
        return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))

    def _run(self, module: nn.Module, images: Tensor) -> Tensor:
        if self.benchmark.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        # not `enabled=`, which would end the autocast that a whole step may be under
        half = torch.autocast(self.context.device.type, torch.bfloat16) if self.benchmark.bfloat16 else nullcontext()
        with half:
            outputs: Tensor = module(images)
        return outputs.float()

    def _evaluate(self, split: str, features: Callable[[Tensor], Tensor]) -> Metrics:
        def embed(images: Images) -> Tensor:
            parts = torch.split(images.pixels, IMAGES_AT_ONCE)
            return torch.cat([features(_to_float(part.to(self.context.device))) for part in parts])

        queries = self._queries(split).to(self.context.device)
        gallery = embed(self.gallery)
        # The second split meets the same features: its probes need no second fit.
        if self._evaluation is None or not torch.equal(self._evaluation.features, gallery):
            self._evaluation = FeatureEvaluation(gallery, self.gallery.labels.to(self.context.device), CLASSES)
        return self._evaluation(embed(queries), queries.labels)

    def _queries(self, split: str) -> Images:
        if split == "val":
            return self.validation
        if split == "test":
            test = self.benchmark.images("test", self.context.data)
            return test[data.balanced(test.labels, self.benchmark.test_images)]
        raise ValueError(f"split 'val' or 'test' expected, got {split!r}")

    def _encode(self, images: Tensor) -> Tensor:
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            features = self._run(self.model.encoder, images)
        self.model.train(training)
        return features


class ContrastiveTask(ImageTask):
    """SimCLR: two views of an image are each other's positives."""

    def head(self, features: int) -> nn.Module:
        """Return SimCLR's projection head."""
        return projection_head(features, self.benchmark.hidden, self.benchmark.embedding)

    def objective(self, step: Step) -> Objective:
        """Return the pairs of the step's two views."""
        embeddings, index = self.outputs(step)
        first, second = embeddings.chunk(2)
        return Objective(pairs=two_view(first, second, index))

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw`` (pixels as features), ``untrained`` or ``supervised``.

        ``supervised`` is a task: the same encoder, views and steps, trained by cross-entropy on the labels of all
        training images.
        """
        if name == "chance":
            names = FeatureEvaluation.names(self.benchmark.gallery_images)
            return on_both_splits(lambda split: dict.fromkeys(names, 1 / CLASSES))
        if name == "raw":
            return on_both_splits(lambda split: self._evaluate(split, lambda images: images.flatten(1)))
        if name == "supervised":
            return SupervisedTask(self.benchmark, self.context)
        return super().reference(name)


class MomentumContrastTask(ContrastiveTask):
    """MoCo: an image's first view is to find its second among earlier images' keys.

    The initial queue is drawn from stream ``queue``.
    """

    model: MomentumModel

    def __init__(self, benchmark: ImageClassification, context: Context) -> None:
        super().__init__(benchmark, context)
        draws = torch.randn(benchmark.queue, benchmark.embedding, generator=context.streams.torch("queue"))
        self.model = MomentumModel(self.model, draws.to(context.device), benchmark.momentum)

    def compiled_parts(self) -> Iterable[nn.Module]:
        """Return encoder and head, and their copy."""
        return self.model, self.model.key

    def objective(self, step: Step) -> Objective:
        """Return the pairs of the step's first views with their keys and the queue, which then takes in the keys."""
        views, index = self.views(step)
        first, second = views.chunk(2)
        self.model.update_key()
        keys = self._run(self.model.key, second)
        pairs = with_queue(self._run(self.model, first), keys, self.model.queue, index)
        self.model.enqueue(keys)
        return Objective(pairs=pairs)


class SupervisedTask(ImageTask):
    """The upper reference: the same encoder and views, cross-entropy on the labels."""

    def head(self, features: int) -> nn.Module:
        """Return a linear classifier."""
        return nn.Linear(features, CLASSES)

    def objective(self, step: Step) -> Objective:
        """Return the mean cross-entropy of both views."""
        logits, index = self.outputs(step)
        return Objective(auxiliary=functional.cross_entropy(logits, self.images.labels[index].repeat(2)))


def _to_float(pixels: Tensor) -> Tensor:
    """Bring uint8 pixels to [0, 1]."""
    return pixels.float() / 255
