"""Figures of what sweeps and searches find."""
