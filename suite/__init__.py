"""Reproducibility benchmark suite for contrastive losses."""

__version__ = "0.1.0"
