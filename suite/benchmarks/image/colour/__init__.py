"""Image classification on colour images: published protocols of SimCLR and MoCo, with torchvision's networks."""

from suite.benchmarks.image.colour.benchmark import ColourImageClassification

__all__ = ["ColourImageClassification"]
