"""Image classification: SimCLR and MoCo on Fashion-MNIST."""

from suite.benchmarks.image.task import ImageClassification

__all__ = ["ImageClassification"]
