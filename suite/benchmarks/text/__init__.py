"""Representation of sentences: SimCSE over word vectors, and debiasing in the manner of MABEL."""

from suite.benchmarks.text.task import SentenceRepresentation

__all__ = ["SentenceRepresentation"]
