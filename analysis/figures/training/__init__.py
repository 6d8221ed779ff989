"""Figures of what was logged on the way."""
