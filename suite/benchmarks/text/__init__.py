"""Representation of sentences: SimCSE, and debiasing with MABEL, over word vectors and on pretrained encoders."""

from suite.benchmarks.text.pretrained.task import PretrainedRepresentation
from suite.benchmarks.text.task import SentenceRepresentation, SevenTaskRepresentation

__all__ = ["PretrainedRepresentation", "SentenceRepresentation", "SevenTaskRepresentation"]
