"""Embeddings to cosine similarities and their roles: all that a loss is given.

A benchmark makes :class:`Pairs` by one of the constructors, which normalise and gather; a loss reads them.
"""

from suite.pairs.embeddings import normalise
from suite.pairs.pairs import EmbeddedPairs, Pairs, Part, cross_view, labelled, spans, two_view, with_queue

__all__ = ["EmbeddedPairs", "Pairs", "Part", "cross_view", "labelled", "normalise", "spans", "two_view", "with_queue"]
