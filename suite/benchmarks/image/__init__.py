"""Image classification: SimCLR and MoCo on Fashion-MNIST."""

from suite.benchmarks.image.task import ImageClassification, LongTailedImageClassification

__all__ = ["ImageClassification", "LongTailedImageClassification"]
