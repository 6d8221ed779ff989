"""Logged runs from an MLflow store or a bundle, and which of them count."""
