"""Shells, users and folders that a campaign does not expect."""
