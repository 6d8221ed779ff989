"""Logged results held against what the same runs give now."""
