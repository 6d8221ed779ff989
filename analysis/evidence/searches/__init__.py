"""Searches: the trials of a loss, which of them validation chooses, and what so many of them give."""
