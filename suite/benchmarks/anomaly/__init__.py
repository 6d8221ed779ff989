"""Anomaly detection: mean-shifted contrastive training of one class of Fashion-MNIST against the rest."""

from suite.benchmarks.anomaly.task import AnomalyDetection

__all__ = ["AnomalyDetection"]
