"""Processes that work beside a command."""
