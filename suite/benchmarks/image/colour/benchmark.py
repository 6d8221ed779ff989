"""The published protocols on colour images."""

from __future__ import annotations

from dataclasses import dataclass

from suite.benchmarks.image.colour.settings import Settings
from suite.benchmarks.image.colour.task import ColourContrastiveTask, ColourMomentumTask, ColourTask
from suite.training import Context


@dataclass(frozen=True)
class ColourImageClassification(Settings):
    """SimCLR (Chen et al. 2020, arXiv 2002.05709) or MoCo v2 (arXiv 2003.04297) with a residual network of torchvision.

    What is trained on is all training images, without their labels, or a long tail of them. Evaluated are the encoder's
    features, frozen, at the end of training: as :class:`~suite.benchmarks.image.evaluate.FeatureEvaluation` does it.
    Validation classifies the last tenth of each class of the training images with the labels of the others; the test
    classifies the test images with the labels of all. So what is trained is what was published, and no test image is
    looked at in choosing.

    Its parameters, and what it raises, are those of :class:`~suite.benchmarks.image.colour.settings.Settings`.
    """

    def task(self, context: Context) -> ColourTask:
        """Return the task of the context's seed."""
        return (ColourMomentumTask if self.framework == "moco" else ColourContrastiveTask)(self, context)
