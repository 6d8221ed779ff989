"""Image classification: SimCLR and MoCo on Fashion-MNIST and other small images."""

from suite.benchmarks.image.grey import GreyImageClassification
from suite.benchmarks.image.task import ImageClassification, LongTailedImageClassification

__all__ = ["GreyImageClassification", "ImageClassification", "LongTailedImageClassification"]
