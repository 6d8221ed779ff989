"""The benchmark: mean-shifted contrastive training of one class against the rest."""

from __future__ import annotations

from dataclasses import dataclass

from suite.benchmarks.anomaly.settings import Settings
from suite.benchmarks.anomaly.task import AnomalyTask
from suite.training import Context


@dataclass(frozen=True)
class AnomalyDetection(Settings):
    """Mean-shifted contrastive training (Reiss & Hoshen 2021, arXiv 2106.03844) of each class against the rest.

    An encoder that was pretrained on ImageNet goes on with images of one class, the normal one; whatever is of another
    class is an anomaly, and none is seen in training. Two views of an image are each other's positives. Their features
    are normalised, shifted by the centre of the normal training images' normalised features before training, and
    normalised again. Evaluated are the features without the shift, as published: an image's score is the sum of squared
    distances to the two nearest normal training images on the unit sphere.

    As in the published code, the statistics of batch normalisation and the encoder's first layers keep what they have
    from ImageNet. What these layers give for a view does not change in training: with `views` above 0, so many views of
    each image are drawn before training and kept.

    All classes are trained in one run, in turn, each with an encoder of its own that starts from the same weights. What
    a loss keeps for every sample stays apart between the classes; what it learns besides (a temperature) they share.

    Metrics are means over the classes: ``roc_auc``, ``average_precision``, and ``roc_auc_change``, the difference that
    training made. Anomalies are the positives.

    Its parameters, and what it raises, are those of :class:`~suite.benchmarks.anomaly.settings.Settings`.
    """

    def task(self, context: Context) -> AnomalyTask:
        """Return the task of the context's seed, its encoders pretrained."""
        return AnomalyTask(self, context)
