"""Frames as commands have them."""

from analysis.read.load import keep_text_in_numpy

keep_text_in_numpy()  # what reads frames in a notebook, with text as pandas keeps it, is tested in processes of its own
