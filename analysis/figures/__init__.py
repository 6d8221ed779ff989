"""Figures of one profile's evidence: one module a figure, each with ``figure(evidence, curves) -> Drawing``."""
