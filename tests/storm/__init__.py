"""A storm over campaigns: faults of every kind at random moments, and what must hold when it is over.

``python -m tests.storm --faults 1000`` prints a table of kinds and outcomes; ``test_storm.py`` is a short one.
"""
