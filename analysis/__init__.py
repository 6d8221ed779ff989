"""Logged results to tables. Reads MLflow and nothing else: never the run folders, never with training anew."""
