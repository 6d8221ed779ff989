"""Anomaly detection: mean-shifted contrastive training of one class of images against the rest."""

from suite.benchmarks.anomaly.benchmark import AnomalyDetection

__all__ = ["AnomalyDetection"]
